// SPDX-License-Identifier: Apache-2.0

// Command grpcgo is grpc-go as a witness and a yardstick for wire/: a server and a client over unix, TCP and TLS.
//
// Messages are raw bytes, so nothing is generated. It knows nothing of our code; the tests judge what it saw.
//
//	grpcgo server [-listen unix:/path | -listen host:port] [TLS flags]
//	    prints its address (unix:/path or host:port) as the first line, then one JSON line for each scripted call;
//	    reads commands: "drain" stops gracefully; the end of standard input ends the program.
//	grpcgo client -target unix:/path [TLS flags]
//	    plays scripts: one JSON line in, one JSON line out (script.go).
//	grpcgo bench -target ... -mode unary|pull|echo -size N -count N [-calls N]
//	    prints one JSON line of figures (bench.go).
//
// Methods of the server: /bench/Unary echoes; /bench/Pull sends as many messages of as many bytes as "COUNT SIZE" asks;
// /bench/Echo echoes a stream; every other method plays the script that the call's metadata carries.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(*flag.FlagSet, []string) error{
		"server": serverMain,
		"client": clientMain,
		"bench":  benchMain,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: grpcgo server|client|bench [flags]")
		os.Exit(2)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	if err := commands[os.Args[1]](flags, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpcgo:", err)
		os.Exit(1)
	}
}
