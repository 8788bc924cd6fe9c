// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
)

// A script is a conversation of which each side has its own steps, played one after the other. tests/wire/witness
// writes the scripts and has the same player for grpcio and for our own layer.

// field is a name and a value; those of names in -bin are written as hexadecimal digits.
type field [2]string

// step is one move of one side.
type step struct {
	// Do is one of
	//	send        messages of Sizes
	//	receive     Count messages
	//	cross       both at once
	//	pause       for Milliseconds: the other side finds a slow reader
	//	headers     server: send Fields; client: wait for them
	//	half_close  client: nothing more is sent; server: the client has said so
	//	cancel      client: end the call
	//	hang        server: until the call is cancelled
	//	end         server: status Code, Message, and Fields as trailers
	Do           string  `json:"do"`
	Sizes        []int   `json:"sizes"`
	Count        int     `json:"count"`
	Milliseconds int     `json:"milliseconds"`
	Fields       []field `json:"fields"`
	Code         int     `json:"code"`
	Message      string  `json:"message"`
}

const (
	fromClient = 0
	fromServer = 1
	period     = 251 // a prime, so that a piece in the wrong place shows
)

// filling is the content of a side's message number n.
func filling(side, n, size int) []byte {
	data := make([]byte, size)
	for at := range data {
		data[at] = byte((at + 7*n + side) % period)
	}
	return data
}

// receipt is what is kept of a message.
func receipt(data []byte) string {
	return fmt.Sprintf("%d:%08x", len(data), crc32.ChecksumIEEE(data))
}

// carrier is a grpc.ClientStream or a grpc.ServerStream.
type carrier interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// side plays what both sides have in common.
type side struct {
	stream   carrier
	number   int
	sent     int
	received []string
}

var errUnknownStep = errors.New("unknown step")

func (s *side) play(one step) error {
	switch one.Do {
	case "send":
		return s.send(one.Sizes)
	case "receive":
		return s.receive(one.Count)
	case "cross":
		sent := make(chan error, 1)
		go func() { sent <- s.send(one.Sizes) }()
		err := s.receive(one.Count)
		if err != nil {
			return err
		}
		return <-sent
	case "pause":
		time.Sleep(time.Duration(one.Milliseconds) * time.Millisecond)
		return nil
	}
	return errUnknownStep
}

func (s *side) send(sizes []int) error {
	for _, size := range sizes {
		if err := s.stream.SendMsg(&frame{filling(s.number, s.sent, size)}); err != nil {
			return err
		}
		s.sent++
	}
	return nil
}

func (s *side) receive(count int) error {
	for range count {
		message := new(frame)
		if err := s.stream.RecvMsg(message); err != nil {
			return err
		}
		s.received = append(s.received, receipt(message.data))
	}
	return nil
}

// atEnd is whether the peer's half ends here, in good order.
func (s *side) atEnd() bool {
	return errors.Is(s.stream.RecvMsg(new(frame)), io.EOF)
}

func toMetadata(fields []field) (metadata.MD, error) {
	made := metadata.MD{}
	for _, one := range fields {
		name, value := one[0], one[1]
		if strings.HasSuffix(name, "-bin") {
			raw, err := hex.DecodeString(value)
			if err != nil {
				return nil, err
			}
			value = string(raw)
		}
		made.Append(name, value)
	}
	return made, nil
}

// ofScript are the fields that the script named, sorted by name; fields of one name stay in order.
func ofScript(from metadata.MD) []field {
	found := []field{}
	for name, values := range from {
		if !strings.HasPrefix(name, "x-") || name == planField || name == idField {
			continue
		}
		for _, value := range values {
			if strings.HasSuffix(name, "-bin") {
				value = hex.EncodeToString([]byte(value))
			}
			found = append(found, field{name, value})
		}
	}
	slices.SortStableFunc(found, func(a, b field) int { return strings.Compare(a[0], b[0]) })
	return found
}
