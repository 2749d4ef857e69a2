package main

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// spareDescriptors are kept for all that is no viewer: servers, HTTP, files, and the second descriptor
// that a socket has while it is taken over.
const spareDescriptors = 400

// maxConnections returns how many connections a gateway takes where it was not told: as many as it would
// by itself, or as this process has descriptors for.
func maxConnections(told, usual int, descriptors uint64, log *slog.Logger) int {
	if told > 0 || descriptors >= uint64(usual)+spareDescriptors {
		return told
	}
	left := max(int(descriptors)-spareDescriptors, 1)
	log.Warn("descriptors limit the connections; raise it with ulimit -n", "descriptors", descriptors, "connections", left)
	return left
}

// complainEvery is the least time between two lines about missing descriptors.
const complainEvery = 10 * time.Second

// sayingListener says that no descriptors are left. Connections wait in the kernel's queue then, and
// http.Server pauses and tries again.
type sayingListener struct {
	net.Listener
	log *slog.Logger

	mu   sync.Mutex
	said time.Time
}

func (l *sayingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		l.mu.Lock()
		if now := time.Now(); now.Sub(l.said) >= complainEvery {
			l.said = now
			l.log.Warn("new connections wait, as no descriptors are left; raise ulimit -n or lower LIVECART_MAX_CONNECTIONS", "address", l.Addr().String())
		}
		l.mu.Unlock()
	}
	return conn, err
}
