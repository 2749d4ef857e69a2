package session

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bareConn is a TCP connection that Go's poller knows nothing of yet: it takes one write that need not
// wait, and can be given to a loop as it is. For anything else it becomes an ordinary connection.
// Not safe for concurrent use until then.
type bareConn struct {
	fd   int // -1 when it is not ours any more
	peer syscall.Sockaddr
	tcp  net.Conn // what it has become
}

// release gives the descriptor away, -1 where it has none any more.
func (c *bareConn) release() int {
	fd := c.fd
	c.fd = -1
	return fd
}

// plain returns the ordinary connection. When it cannot be one, for want of descriptors, it is closed.
func (c *bareConn) plain() (net.Conn, error) {
	if c.tcp != nil {
		return c.tcp, nil
	}
	if c.fd < 0 {
		return nil, net.ErrClosed
	}
	file := os.NewFile(uintptr(c.release()), "tcp")
	defer file.Close() // the connection has a descriptor of its own
	var err error
	c.tcp, err = net.FileConn(file)
	return c.tcp, err
}

// writeNow writes what needs no waiting, as long as the connection is bare, and returns how much that was.
// Why it was less is told by Write.
func (c *bareConn) writeNow(p []byte) int {
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
