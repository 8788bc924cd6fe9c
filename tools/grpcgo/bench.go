// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var pull = &grpc.StreamDesc{StreamName: "Pull", Handler: servePull, ServerStreams: true}
var echo = &grpc.StreamDesc{StreamName: "Echo", Handler: serveEcho, ServerStreams: true, ClientStreams: true}
var benchService = grpc.ServiceDesc{
	ServiceName: "bench",
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: serveUnary}},
	Streams:     []grpc.StreamDesc{*pull, *echo},
}

func serveUnary(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := new(frame)
	return message, decode(message)
}

func servePull(_ any, stream grpc.ServerStream) error {
	asked := new(frame)
	if err := stream.RecvMsg(asked); err != nil {
		return err
	}
	var count, size int
	if _, err := fmt.Sscan(string(asked.data), &count, &size); err != nil {
		return status.Error(codes.InvalidArgument, `want "COUNT SIZE"`)
	}
	message := &frame{make([]byte, size)}
	for range count {
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
	return nil
}

func serveEcho(_ any, stream grpc.ServerStream) error {
	for {
		message := new(frame)
		if err := stream.RecvMsg(message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

// figures of one run; latencies are of round trips in unary and echo, and absent in pull.
type figures struct {
	Mode       string  `json:"mode"`
	Messages   int     `json:"messages"`
	Bytes      int     `json:"bytes"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	P50us      float64 `json:"p50_us,omitempty"`
	P99us      float64 `json:"p99_us,omitempty"`
}

func benchMain(flags *flag.FlagSet, args []string) error {
	var how transport
	how.flags(flags)
	target := flags.String("target", "", "unix:/path or host:port")
	mode := flags.String("mode", "unary", "unary, pull or echo")
	size := flags.Int("size", 1024, "bytes of each message")
	count := flags.Int("count", 1000, "messages, all calls together")
	calls := flags.Int("calls", 1, "calls at once on the one connection")
	flags.Parse(args)
	run := map[string]func(*grpc.ClientConn, int, int) ([]time.Duration, error){
		"unary": runUnary, "pull": runPull, "echo": runEcho,
	}[*mode]
	if run == nil {
		return fmt.Errorf("-mode=%q: not unary, pull or echo", *mode)
	}
	conn, err := how.dial(*target)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := runUnary(conn, 1, 1); err != nil { // connected
		return err
	}
	began, burnt := time.Now(), cpuSeconds()
	trips, err := together(*calls, func() ([]time.Duration, error) { return run(conn, *count / *calls, *size) })
	if err != nil {
		return err
	}
	messages := *count / *calls * *calls
	found := figures{
		Mode: *mode, Messages: messages, Bytes: messages * *size,
		Seconds: time.Since(began).Seconds(), CPUSeconds: cpuSeconds() - burnt,
	}
	if len(trips) > 0 {
		slices.Sort(trips)
		found.P50us = float64(trips[len(trips)/2].Nanoseconds()) / 1e3
		found.P99us = float64(trips[len(trips)*99/100].Nanoseconds()) / 1e3
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func together(calls int, run func() ([]time.Duration, error)) ([]time.Duration, error) {
	var all []time.Duration
	var failure error
	var lock sync.Mutex
	var group sync.WaitGroup
	for range calls {
		group.Go(func() {
			trips, err := run()
			lock.Lock()
			defer lock.Unlock()
			all, failure = append(all, trips...), errors.Join(failure, err)
		})
	}
	group.Wait()
	return all, failure
}

func runUnary(conn *grpc.ClientConn, count, size int) ([]time.Duration, error) {
	message, trips := &frame{make([]byte, size)}, make([]time.Duration, count)
	for n := range count {
		began := time.Now()
		if err := conn.Invoke(context.Background(), "/bench/Unary", message, new(frame)); err != nil {
			return nil, err
		}
		trips[n] = time.Since(began)
	}
	return trips, nil
}

func runPull(conn *grpc.ClientConn, count, size int) ([]time.Duration, error) {
	stream, err := conn.NewStream(context.Background(), pull, "/bench/Pull")
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&frame{fmt.Appendf(nil, "%d %d", count, size)}); err != nil {
		return nil, err
	}
	for {
		if err := stream.RecvMsg(new(frame)); errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
}

func runEcho(conn *grpc.ClientConn, count, size int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, echo, "/bench/Echo")
	if err != nil {
		return nil, err
	}
	message, trips := &frame{make([]byte, size)}, make([]time.Duration, count)
	for n := range count {
		began := time.Now()
		if err := stream.SendMsg(message); err != nil {
			return nil, err
		}
		if err := stream.RecvMsg(new(frame)); err != nil {
			return nil, err
		}
		trips[n] = time.Since(began)
	}
	return trips, nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
