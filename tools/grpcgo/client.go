// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// call is one call to make, with the client's steps; the server's are among its fields.
type call struct {
	Method string `json:"method"`
	// Kind is the shape of the method: unary, pull (many come), push (many go) or chat.
	Kind string `json:"kind"`
	// Timeout in seconds; 0 is none.
	Timeout float64 `json:"timeout"`
	Fields  []field `json:"fields"`
	Plan    []step  `json:"plan"`
}

// outcome is what the client saw of one call.
type outcome struct {
	Headers  []field  `json:"headers"`
	Messages []string `json:"messages"`
	Code     int      `json:"code"`
	Details  string   `json:"details"`
	Trailers []field  `json:"trailers"`
}

// clientMain reads scripts, a list of calls that are made at once in one line, and prints their outcomes in one line.
func clientMain(flags *flag.FlagSet, args []string) error {
	var how transport
	how.flags(flags)
	target := flags.String("target", "", "unix:/path or host:port")
	flags.Parse(args)
	conn, err := how.dial(*target)
	if err != nil {
		return err
	}
	defer conn.Close()
	scripts := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var calls []call
		if err := scripts.Decode(&calls); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		outcomes := make([]outcome, len(calls))
		var group sync.WaitGroup
		for n, one := range calls {
			group.Go(func() { outcomes[n] = playClient(conn, one) })
		}
		group.Wait()
		printLine(outcomes)
	}
}

func playClient(conn *grpc.ClientConn, one call) outcome {
	fields, err := toMetadata(one.Fields)
	if err != nil {
		return outcome{Details: err.Error()}
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), fields))
	defer cancel()
	if one.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(one.Timeout*float64(time.Second)))
		defer cancel()
	}
	desc := &grpc.StreamDesc{
		ServerStreams: one.Kind == "pull" || one.Kind == "chat",
		ClientStreams: one.Kind == "push" || one.Kind == "chat",
	}
	found := outcome{Headers: []field{}, Messages: []string{}, Trailers: []field{}}
	stream, err := conn.NewStream(ctx, desc, one.Method)
	if err == nil {
		us := &side{stream: stream, number: fromClient, received: []string{}}
		err = us.converse(stream, one.Plan, cancel)
		found.Messages = us.received
		found.Trailers = ofScript(stream.Trailer())
		if headers, failed := stream.Header(); failed == nil {
			found.Headers = ofScript(headers)
		}
	}
	state := status.Convert(err)
	found.Code, found.Details = int(state.Code()), state.Message()
	return found
}

// converse plays the client's steps, then receives to the end; its error is the call's status.
func (s *side) converse(stream grpc.ClientStream, plan []step, cancel func()) error {
	for _, one := range plan {
		var err error
		switch one.Do {
		case "headers":
			_, err = stream.Header()
		case "half_close":
			err = stream.CloseSend()
		case "cancel":
			cancel()
			return s.drain()
		default:
			err = s.play(one)
		}
		if errors.Is(err, io.EOF) { // from SendMsg: the status tells why
			break
		}
		if err != nil {
			return err
		}
	}
	for {
		if err := s.receive(1); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// drain forgets what still comes.
func (s *side) drain() error {
	for {
		if err := s.stream.RecvMsg(new(frame)); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
