package session

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often a bare connection is looked at for its end.
const watchEvery = 100 * time.Millisecond

// errClientGone is the cause of the end of a handshake's context when its client has gone.
var errClientGone = errors.New("session: the client is gone")

// bareConn is a TCP connection that Go's poller knows nothing of yet: it takes one write that need not
// wait, and can be given to a loop as it is. For anything else it becomes an ordinary connection. Safe for
// concurrent use.
type bareConn struct {
	peer syscall.Sockaddr

	mu    sync.Mutex
	fd    int          // -1 when it is not ours any more
	tcp   *net.TCPConn // what it has become; nil until then
	timer *time.Timer  // of the watch
}

// watch calls end when the client goes, or after the limit. It ends with the bare connection.
func (c *bareConn) watch(limit time.Duration, end func(cause error)) {
	until := time.Now().Add(limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(min(watchEvery, limit), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.fd < 0:
		case ended(c.fd):
			end(errClientGone)
		case !time.Now().Before(until):
			end(errTakesLong)
		default:
			c.timer.Reset(watchEvery)
		}
	})
}

// ended tells whether a socket's other end has gone, as far as what it sent does not hide that.
func ended(fd int) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK)
	return n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
}

// release takes the descriptor out, -1 where it is none any more. Called with mu.
func (c *bareConn) release() int {
	fd := c.fd
	c.fd = -1
	if c.timer != nil {
		c.timer.Stop()
	}
	return fd
}

// give offers the descriptor to somebody, whose it is if take returns true.
func (c *bareConn) give(take func(fd int) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 || !take(c.fd) {
		return false
	}
	c.release()
	return true
}

// plain returns the ordinary connection. When it cannot be one, for want of descriptors, it is closed.
func (c *bareConn) plain() (*net.TCPConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp != nil {
		return c.tcp, nil
	}
	if c.fd < 0 {
		return nil, net.ErrClosed
	}
	file := os.NewFile(uintptr(c.release()), "tcp")
	defer file.Close() // the connection has a descriptor of its own
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	c.tcp = conn.(*net.TCPConn)
	return c.tcp, nil
}

// writeNow writes what needs no waiting, as long as the connection is bare, and returns how much that was.
// Why it was less is told by Write.
func (c *bareConn) writeNow(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0
	}
	n, _ := rawWrite(c.fd, p)
	return n
}

func (c *bareConn) Write(p []byte) (int, error) {
	n := c.writeNow(p)
	if n == len(p) {
		return n, nil
	}
	tcp, err := c.plain()
	if err != nil {
		return n, err
	}
	more, err := tcp.Write(p[n:])
	return n + more, err
}

func (c *bareConn) Read(p []byte) (int, error) {
	tcp, err := c.plain()
	if err != nil {
		return 0, err
	}
	return tcp.Read(p)
}

func (c *bareConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp != nil {
		return c.tcp.Close()
	}
	if c.fd < 0 {
		return net.ErrClosed
	}
	return os.NewSyscallError("close", unix.Close(c.release()))
}

func (c *bareConn) LocalAddr() net.Addr {
	tcp, err := c.plain()
	if err != nil {
		return nil
	}
	return tcp.LocalAddr()
}

func (c *bareConn) RemoteAddr() net.Addr {
	var addr netip.AddrPort
	switch peer := c.peer.(type) {
	case *syscall.SockaddrInet4:
		addr = netip.AddrPortFrom(netip.AddrFrom4(peer.Addr), uint16(peer.Port))
	case *syscall.SockaddrInet6:
		ip := netip.AddrFrom16(peer.Addr).Unmap()
		if peer.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(peer.ZoneId), 10))
		}
		addr = netip.AddrPortFrom(ip, uint16(peer.Port))
	}
	return net.TCPAddrFromAddrPort(addr)
}

func (c *bareConn) SetDeadline(t time.Time) error {
	tcp, err := c.plain()
	if err != nil {
		return err
	}
	return tcp.SetDeadline(t)
}

func (c *bareConn) SetReadDeadline(t time.Time) error {
	tcp, err := c.plain()
	if err != nil {
		return err
	}
	return tcp.SetReadDeadline(t)
}

func (c *bareConn) SetWriteDeadline(t time.Time) error {
	tcp, err := c.plain()
	if err != nil {
		return err
	}
	return tcp.SetWriteDeadline(t)
}
