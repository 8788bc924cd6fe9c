// SPDX-License-Identifier: Apache-2.0

// Command gomerge is a yardstick for merged scrapes: it answers with what its targets answer, one after the other, by
// net/http and io.Copy, as pilot-agent joins Envoy's metrics and the application's. Prints its port.
//
//	gomerge http://127.0.0.1:1/stats/prometheus http://127.0.0.1:2/metrics
//
// The query of a scrape is passed on to the first target.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	targets := os.Args[1:]
	http.HandleFunc("/stats/prometheus", func(reply http.ResponseWriter, request *http.Request) {
		reply.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		for n, target := range targets {
			if n == 0 && request.URL.RawQuery != "" {
				target += "?" + request.URL.RawQuery
			}
			if err := pass(reply, target); err != nil {
				log.Print(err)
			}
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}

func pass(reply io.Writer, target string) error {
	answer, err := http.Get(target)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(reply, answer.Body)
	return err
}
