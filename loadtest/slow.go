package loadtest

import (
	"net"
	"syscall"
	"time"
)

// Limits of a slow reader, in bytes a second.
const (
	minReadRate, maxReadRate = 100, 10_000_000
	// slowBuffer is what the system may keep for one who reads slowly; it takes at least twice that.
	slowBuffer = 4096
)

// Slow says which viewers read slowly, as on a bad network: a part of those who come and go, 0 to 1, so many
// bytes a second each, 100 to 10,000,000. They only watch.
type Slow struct {
	Part float64
	Rate int
}

// reads returns how fast a viewer who comes and goes reads, 0 for as fast as there is something.
func (s Slow) reads(viewer uint32) int {
	if isPart(int64(viewer), s.Part) {
		return s.Rate
	}
	return 0
}

// slowRead is how many bytes are read at once at a rate, and slowPause how long what was read takes.
func slowRead(rate int) int { return max(rate/10, 64) }
func slowPause(rate int, read int) time.Duration {
	return time.Duration(read) * time.Second / time.Duration(rate)
}

// slowSocket keeps the system from reading ahead for a slow reader.
func slowSocket(_, _ string, c syscall.RawConn) error {
	var err error
	if failed := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowBuffer)
	}); failed != nil {
		return failed
	}
	return err
}

// slowConn reads at a rate.
type slowConn struct {
	net.Conn
	rate int
}

func (c slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), slowRead(c.rate))])
	time.Sleep(slowPause(c.rate, n))
	return n, err
}
