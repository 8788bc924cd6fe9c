// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	planField = "x-plan"
	idField   = "x-id"
)

// seen is what the server saw of one call.
type seen struct {
	ID         string   `json:"id"`
	Fields     []field  `json:"fields"`
	Messages   []string `json:"messages"`
	HalfClosed bool     `json:"half_closed"`
	Deadline   bool     `json:"deadline"`
	// End is "returned" where the script was played to its end, "cancelled" where the call ended before.
	End string `json:"end"`
	// Peer is the SPIFFE id of the client's certificate.
	Peer string `json:"peer"`
}

var printing sync.Mutex

func printLine(value any) {
	printing.Lock()
	defer printing.Unlock()
	json.NewEncoder(os.Stdout).Encode(value)
}

func serverMain(flags *flag.FlagSet, args []string) error {
	var how transport
	how.flags(flags)
	address := flags.String("listen", "127.0.0.1:0", "unix:/path or host:port")
	flags.Parse(args)
	server, err := how.server()
	if err != nil {
		return err
	}
	listener, bound, err := listen(*address)
	if err != nil {
		return err
	}
	fmt.Println(bound)
	go func() {
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			if commands.Text() == "drain" {
				go server.GracefulStop()
			}
		}
		server.Stop()
		os.Exit(0)
	}()
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	select {} // until the end of standard input
}

// playServer plays the script of any call that is not the bench's.
func playServer(_ any, stream grpc.ServerStream) error {
	fields, _ := metadata.FromIncomingContext(stream.Context())
	var plan []step
	if found := fields.Get(planField); len(found) != 1 || json.Unmarshal([]byte(found[0]), &plan) != nil {
		return status.Error(codes.Unimplemented, "no script in "+planField)
	}
	us := &side{stream: stream, number: fromServer, received: []string{}}
	_, hasDeadline := stream.Context().Deadline()
	report := seen{Fields: ofScript(fields), Deadline: hasDeadline, Peer: spiffeID(stream.Context())}
	if ids := fields.Get(idField); len(ids) == 1 {
		report.ID = ids[0]
	}
	err := us.serve(stream, plan, &report)
	report.Messages = us.received
	report.End = "returned"
	if stream.Context().Err() != nil {
		report.End = "cancelled"
	}
	printLine(report)
	return err
}

func (s *side) serve(stream grpc.ServerStream, plan []step, report *seen) error {
	for _, one := range plan {
		fields, err := toMetadata(one.Fields)
		if err != nil {
			return err
		}
		switch one.Do {
		case "headers":
			err = stream.SendHeader(fields)
		case "half_close":
			report.HalfClosed = s.atEnd()
		case "hang":
			<-stream.Context().Done()
			err = status.FromContextError(stream.Context().Err()).Err()
		case "end":
			stream.SetTrailer(fields)
			return status.Error(codes.Code(one.Code), one.Message)
		default:
			err = s.play(one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func spiffeID(ctx context.Context) string {
	who, _ := peer.FromContext(ctx)
	info, isTLS := who.AuthInfo.(credentials.TLSInfo)
	if !isTLS || len(info.State.PeerCertificates) == 0 || len(info.State.PeerCertificates[0].URIs) == 0 {
		return ""
	}
	return info.State.PeerCertificates[0].URIs[0].String()
}
