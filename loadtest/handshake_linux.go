package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// viewersPerSource is how many viewers share one source address where the target is on loopback: a
// third of the ports that Linux gives out by itself, for those of connections that ended a moment
// ago are not free yet.
const viewersPerSource = 9000

// maxSources is how many source addresses there are; more viewers take turns.
const maxSources = 250

// sourceOf returns the source address of a viewer; the zero value leaves the choice to the system.
func sourceOf(number, perSource int) netip.Addr {
	k := number / perSource % maxSources
	if k == 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + k)})
}

// readyConn is a socket after its handshake, and what came right behind that.
type readyConn struct {
	fd   int
	rest []byte
}

func (c readyConn) close() { unix.Close(c.fd) }

// openReady makes the handshake and returns the bare socket, which does not block.
func openReady(ctx context.Context, cfg ViewerConfig, source netip.Addr) (readyConn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.JoinTimeout)
	defer cancel()
	var head *headConn
	conn, stop, err := dial(ctx, cfg, func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialer := net.Dialer{}
		if cfg.ReadRate > 0 {
			dialer.Control = slowSocket
		}
		if to, err := netip.ParseAddrPort(addr); err == nil && source.IsValid() && to.Addr().Is4() && to.Addr().IsLoopback() {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		head = &headConn{Conn: c}
		return head, nil
	})
	if err != nil {
		return readyConn{}, err
	}
	defer conn.Close() // the descriptor returned is another one of the same socket
	fd, err := duplicate(head.Conn)
	if !stop() {
		if err == nil {
			unix.Close(fd)
		}
		return readyConn{}, ctx.Err()
	}
	return readyConn{fd, head.rest}, err
}

// duplicate returns a second descriptor of a connection, which the Go runtime does not watch.
func duplicate(c net.Conn) (int, error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate the socket: %w", err)
	}
	return fd, nil
}

// headConn lets nobody read behind the end of the first HTTP head together with it: what follows
// stays in rest until it is read by itself. So the frames that come with the answer to a handshake are
// not lost in the buffer of who made it.
type headConn struct {
	net.Conn
	matched int // bytes of headEnd
	rest    []byte
}

const headEnd = "\r\n\r\n"

func (c *headConn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	for i := 0; i < n && c.matched < len(headEnd); i++ {
		switch p[i] {
		case headEnd[c.matched]:
			c.matched++
		case '\r':
			c.matched = 1
		default:
			c.matched = 0
		}
		if c.matched == len(headEnd) && i+1 < n {
			c.rest = bytes.Clone(p[i+1 : n])
			return i + 1, nil // an error comes again with the next read
		}
	}
	return n, err
}
