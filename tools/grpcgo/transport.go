// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// transport is what both sides may choose; the zero value is plaintext with grpc-go's own windows.
type transport struct {
	chain, key, roots     string
	serverName            string
	version               string
	clientAuth            string
	window, streams       int
	keepalive, permitPing time.Duration
}

func (t *transport) flags(flags *flag.FlagSet) {
	flags.StringVar(&t.chain, "chain", "", "own certificate chain, a PEM file")
	flags.StringVar(&t.key, "key", "", "own private key, a PEM file")
	flags.StringVar(&t.roots, "roots", "", "certificates that vouch for the peer, a PEM file")
	flags.StringVar(&t.serverName, "server-name", "localhost", "client: the name in the server's certificate")
	flags.StringVar(&t.version, "tls", "", "1.2 or 1.3: this version and no other")
	flags.StringVar(&t.clientAuth, "client-auth", "none", "server: none, optional or require")
	flags.IntVar(&t.window, "window", 0, "window of streams and connection; grpc-go has no smaller ones than 65535")
	flags.IntVar(&t.streams, "max-streams", 0, "server: calls of one client at once")
	flags.DurationVar(&t.keepalive, "keepalive", 0, "ping after so long a silence")
	flags.DurationVar(&t.permitPing, "permit-ping", 0, "server: a client may ping as often")
}

func (t *transport) config() (*tls.Config, error) {
	if t.chain == "" && t.roots == "" {
		return nil, nil
	}
	config := &tls.Config{ServerName: t.serverName, NextProtos: []string{"h2"}}
	if t.version != "" {
		only, known := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[t.version]
		if !known {
			return nil, fmt.Errorf("-tls=%q: not 1.2 or 1.3", t.version)
		}
		config.MinVersion, config.MaxVersion = only, only
	}
	if t.chain != "" {
		pair, err := tls.LoadX509KeyPair(t.chain, t.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if t.roots != "" {
		pem, err := os.ReadFile(t.roots)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("-roots: no certificate in it")
		}
		config.RootCAs, config.ClientCAs = pool, pool
	}
	config.ClientAuth = map[string]tls.ClientAuthType{
		"none":     tls.NoClientCert,
		"optional": tls.VerifyClientCertIfGiven,
		"require":  tls.RequireAndVerifyClientCert,
	}[t.clientAuth]
	return config, nil
}

func (t *transport) server() (*grpc.Server, error) {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.UnknownServiceHandler(playServer),
	}
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	if t.window > 0 {
		options = append(options, grpc.InitialWindowSize(int32(t.window)), grpc.InitialConnWindowSize(int32(t.window)))
	}
	if t.streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(t.streams)))
	}
	if t.keepalive > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{Time: t.keepalive}))
	}
	if t.permitPing > 0 {
		policy := keepalive.EnforcementPolicy{MinTime: t.permitPing, PermitWithoutStream: true}
		options = append(options, grpc.KeepaliveEnforcementPolicy(policy))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&benchService, nil)
	return server, nil
}

func listen(address string) (net.Listener, string, error) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		listener, err := net.Listen("unix", path)
		return listener, address, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", err
	}
	return listener, listener.Addr().String(), nil
}

func (t *transport) dial(target string) (*grpc.ClientConn, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	secure := insecure.NewCredentials()
	if config != nil {
		secure = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		// a machine under load may be slow to shake hands
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: time.Minute}),
	}
	if t.window > 0 {
		options = append(options, grpc.WithInitialWindowSize(int32(t.window)), grpc.WithInitialConnWindowSize(int32(t.window)))
	}
	if t.keepalive > 0 {
		parameters := keepalive.ClientParameters{Time: t.keepalive, PermitWithoutStream: true}
		options = append(options, grpc.WithKeepaliveParams(parameters))
	}
	if !strings.HasPrefix(target, "unix:") {
		target = "passthrough:///" + target
	}
	return grpc.NewClient(target, options...)
}
