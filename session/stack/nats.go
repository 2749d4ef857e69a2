package stack

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSServer is a nats-server inside this process that listens on loopback TCP. It stores nothing.
type NATSServer struct {
	server *server.Server
}

// StartNATS starts a server on 127.0.0.1; port 0 takes a free one.
func StartNATS(port int) (*NATSServer, error) {
	if port == 0 {
		port = server.RANDOM_PORT
	} else if err := portFree(port); err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "livecart",
		Host:       "127.0.0.1",
		Port:       port,
		NoLog:      true,
		NoSigs:     true, // signals are the caller's
	})
	if err != nil {
		return nil, fmt.Errorf("make NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("NATS did not get ready on 127.0.0.1")
	}
	return &NATSServer{server: s}, nil
}

// portFree gives the reason why a port cannot be listened on, which the server keeps to itself.
func portFree(port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return listener.Close()
}

// URL is the address for clients, nats://127.0.0.1:port.
func (n *NATSServer) URL() string { return n.server.ClientURL() }

// Close cuts all clients and returns when the server's goroutines have ended.
func (n *NATSServer) Close() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}
