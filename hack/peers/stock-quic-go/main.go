// quic-go as it is, for tests: a QUIC implementation that knows nothing of STOQ and shares no code
// with the engine or the reference. It carries standard input and output over one stream.
//
//	stock-quic-go client ADDRESS   sends standard input, then prints what the peer answers
//	stock-quic-go server ADDRESS   prints what the peer sends, then answers with standard input
//
// A JSON object per connection, or the server's address, goes to standard error. QLOGDIR names a
// folder for qlog files, which quic-go writes by itself.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
)

// Nothing on one machine takes longer, unless it hangs.
const patience = 10 * time.Second

var (
	alpn        = flag.String("alpn", "stoq/1", "the application protocol")
	certificate = flag.String("certificate", "", "a file with our certificate (DER)")
	key         = flag.String("key", "", "a file with its Ed25519 seed, 32 bytes")
	connections = flag.Int("connections", 0, "client: connect so often, each time with the last session, and open no stream")
	retry       = flag.Bool("retry", false, "server: clients prove their address first")
)

var verified atomic.Bool

// What is known of a connection once its handshake is complete.
type established struct {
	Resumed  bool   `json:"resumed"`
	Cipher   string `json:"cipher"`
	Group    string `json:"group"`
	Verified bool   `json:"verified"` // whether the client has proven its address to us
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: stock-quic-go [flags] client|server ADDRESS")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	switch side, address := flag.Arg(0), flag.Arg(1); {
	case side == "client" && *connections > 0:
		err = resume(ctx, address, *connections)
	case side == "client":
		err = dial(ctx, address)
	case side == "server":
		err = serve(ctx, address)
	default:
		err = fmt.Errorf("%q is neither client nor server", side)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Peers are not verified: of a STOQ certificate, quic-go could only check the classical half.
func settings() (*tls.Config, *quic.Config, error) {
	config := &tls.Config{
		NextProtos:         []string{*alpn},
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequestClientCert,
	}
	if *certificate != "" {
		leaf, err := os.ReadFile(*certificate)
		if err != nil {
			return nil, nil, err
		}
		seed, err := os.ReadFile(*key)
		if err != nil {
			return nil, nil, err
		}
		if len(seed) != ed25519.SeedSize {
			return nil, nil, fmt.Errorf("%s has %d bytes, a seed has %d", *key, len(seed), ed25519.SeedSize)
		}
		config.Certificates = []tls.Certificate{{
			Certificate: [][]byte{leaf},
			PrivateKey:  ed25519.NewKeyFromSeed(seed),
		}}
	}
	return config, &quic.Config{Tracer: qlog.DefaultConnectionTracer}, nil
}

func tell(connection *quic.Conn) error {
	state := connection.ConnectionState().TLS
	return json.NewEncoder(os.Stderr).Encode(established{
		Resumed:  state.DidResume,
		Cipher:   tls.CipherSuiteName(state.CipherSuite),
		Group:    state.CurveID.String(),
		Verified: verified.Load(),
	})
}

func dial(ctx context.Context, address string) error {
	secure, config, err := settings()
	if err != nil {
		return err
	}
	connection, err := quic.DialAddr(ctx, address, secure, config)
	if err != nil {
		return err
	}
	defer connection.CloseWithError(0, "")
	if err := tell(connection); err != nil {
		return err
	}
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(stream, os.Stdin)
		if err == nil {
			err = stream.Close()
		}
		sent <- err
	}()
	if _, err := io.Copy(os.Stdout, stream); err != nil {
		return err
	}
	return <-sent
}

// A session cache that says when a ticket has come.
type sessions struct {
	tls.ClientSessionCache
	come chan struct{}
}

func (s sessions) Put(name string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(name, state)
	if state != nil {
		select {
		case s.come <- struct{}{}:
		default:
		}
	}
}

func resume(ctx context.Context, address string, count int) error {
	secure, config, err := settings()
	if err != nil {
		return err
	}
	kept := sessions{tls.NewLRUClientSessionCache(1), make(chan struct{}, 1)}
	secure.ClientSessionCache = kept
	for range count {
		connection, err := quic.DialAddr(ctx, address, secure, config)
		if err != nil {
			return err
		}
		if err := tell(connection); err != nil {
			return err
		}
		select {
		case <-kept.come:
		case <-ctx.Done():
			return fmt.Errorf("no ticket came: %w", ctx.Err())
		}
		if err := connection.CloseWithError(0, ""); err != nil {
			return err
		}
	}
	return nil
}

func serve(ctx context.Context, address string) error {
	secure, config, err := settings()
	if err != nil {
		return err
	}
	local, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", local)
	if err != nil {
		return err
	}
	transport := quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return *retry },
		ConnContext: func(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
			verified.Store(client.AddrVerified)
			return ctx, nil
		},
	}
	listener, err := transport.Listen(secure, config)
	if err != nil {
		return err
	}
	defer transport.Close()
	fmt.Fprintln(os.Stderr, listener.Addr())
	connection, err := listener.Accept(ctx)
	if err != nil {
		return err
	}
	if err := tell(connection); err != nil {
		return err
	}
	stream, err := connection.AcceptStream(ctx)
	if err != nil {
		return err
	}
	if _, err := io.Copy(os.Stdout, stream); err != nil {
		return err
	}
	if _, err := io.Copy(stream, os.Stdin); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	// The client closes when it has the answer.
	<-connection.Context().Done()
	return nil
}
