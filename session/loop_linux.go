package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxReady is how many sockets are asked for at a time.
const maxReady = 256

// unsentBytes is how much the kernel may hold of a connection that is not even on its way: what lies
// there is late already and can be neither taken back nor counted.
const unsentBytes = 128 << 10

// loop reads the sockets of a shard with one goroutine and one buffer, whatever their number. The
// epoll instance is itself waited for by Go's own poller, so that an idle loop holds no thread.
type loop struct {
	// Fixed after construction.
	shard *shard
	epoll int
	file  *os.File
	raw   syscall.RawConn
	// Run's, for the other goroutines while there is always something to read.
	yielder *yielder

	stopping atomic.Bool

	// Owned by run.
	buf    []byte
	reader *frameReader

	// Guarded by the shard's lock.
	byFD     []*Conn
	ring     *ring   // nil where there is none
	gathered []*Conn // whose sends are in it
}

func newLoop(s *shard) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	reader, err := newFrameReader()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	l := &loop{shard: s, epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), buf: make([]byte, intakeBuffer), reader: reader}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.yielder, err = newYielder(); err != nil {
		l.file.Close()
		return nil, err
	}
	if !s.gw.cfg.NoIOUring {
		if l.ring, err = newRing(walkStep); err != nil {
			s.gw.ringless.Do(func() { s.gw.cfg.Log.Info("each viewer is written to by a system call of its own", "err", err) })
		}
	}
	return l, nil
}

// stop comes when nothing is gathered any more.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.file.Close()
	l.yielder.close()
	if l.ring != nil {
		l.ring.close()
	}
}

// run reads until stop is called. An error is not one of a socket's: nothing is read any more.
func (l *loop) run() error {
	events := make([]unix.EpollEvent, maxReady)
	rested := time.Now()
	for {
		n, waited := 0, false
		var failed error
		err := l.raw.Read(func(fd uintptr) bool {
			n, failed = unix.EpollWait(int(fd), events, 0)
			waited = waited || n == 0
			return n != 0
		})
		if waited {
			rested = time.Now()
		}
		switch {
		case l.stopping.Load():
			return nil
		case err != nil:
			return fmt.Errorf("wait for sockets: %w", err)
		case failed != nil && !errors.Is(failed, unix.EINTR):
			return fmt.Errorf("wait for sockets: epoll: %w", failed)
		}
		for _, ev := range events[:max(n, 0)] {
			if err := l.ready(int(ev.Fd), ev.Events); err != nil {
				return err
			}
			if time.Since(rested) >= yieldEvery {
				l.yielder.yield()
				rested = time.Now()
			}
		}
	}
}

// ready serves one socket. Its descriptor may have been closed since the event, and even opened again
// for another connection of this loop: that one has nothing to read then. An error is the loop's own.
func (l *loop) ready(fd int, events uint32) error {
	s := l.shard
	s.mu.Lock()
	c := l.byFD[fd]
	if c == nil {
		s.mu.Unlock()
		return nil
	}
	sock := c.sock.(*fdSocket)
	if events&unix.EPOLLOUT != 0 {
		sock.watch(unix.EPOLLIN | unix.EPOLLRDHUP)
		c.writable(nil)
	}
	if events&^unix.EPOLLOUT == 0 || c.state == gone {
		s.mu.Unlock()
		return nil
	}
	held, room := 0, l.buf
	if !sock.deaf {
		// What is left makes the socket ready again.
		held = c.in.fill(l.buf)
		turn := turnBytes
		if c.pace.refused {
			turn = excessBytes
		}
		room = l.buf[held : held+turn]
	}
	n, err := rawRead(fd, room)
	s.mu.Unlock()
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		c.readEnded(&net.OpError{Op: "read", Net: "tcp", Err: err})
		return nil
	case n == 0:
		c.readEnded(io.EOF)
		return nil
	case sock.deaf:
		if sock.lingered += n; sock.lingered > lingerBytes {
			c.shutAtOnce()
		}
		return nil
	}
	c.heard()
	c.beginReading()
	whole := false
	l.reader.wire.owner = c
	err = c.in.take(l.reader, l.buf[:held+n], func(kind int, data []byte) {
		whole = true
		c.message(kind, data)
	})
	c.endReading(len(c.in.held), whole)
	if err != nil {
		sock.deaf = true
		c.readEnded(err)
		// A reader that has met an error reads no more.
		l.reader, err = newFrameReader()
	}
	return err
}

// fdSocket is a TCP connection's descriptor, taken from Go's own poller: an idle one costs this and its
// place in the loop.
type fdSocket struct {
	loop *loop
	fd   int

	// Owned by the loop: what still comes is read away.
	deaf     bool
	lingered int
}

// adopt makes the descriptor under w the loop's, which reads c from it. False where that is not plain
// TCP, or where descriptors or watches have run out: Go's own poller has it then.
func (l *loop) adopt(c *Conn, w *wire) bool {
	switch conn := w.Conn.(type) {
	case *bareConn:
		if conn.give(func(fd int) bool { return l.take(c, fd, w.answer) }) {
			return true
		}
		plain, err := conn.plain()
		if err != nil {
			return false
		}
		w.Conn = plain
		return l.adopt(c, w)
	case *net.TCPConn:
		fd, err := duplicate(conn)
		if err != nil {
			return false
		}
		if l.take(c, fd, w.answer) {
			conn.Close() // Go's descriptor; the connection lives on in ours
			return true
		}
		unix.Close(fd)
	}
	return false
}

// take makes a descriptor the loop's. False where it cannot be watched.
func (l *loop) take(c *Conn, fd int, answer []byte) bool {
	// It is not inherited from the listener.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	l.shard.mu.Lock()
	defer l.shard.mu.Unlock()
	for len(l.byFD) <= fd {
		l.byFD = append(l.byFD, nil)
	}
	l.byFD[fd] = c
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}); err != nil {
		l.byFD[fd] = nil
		return false
	}
	c.begin(&fdSocket{loop: l, fd: fd}, answer)
	return true
}

func duplicate(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(theirs uintptr) {
		fd, failed = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, failed)
}

func (s *fdSocket) watch(events uint32) {
	// It is the loop's, so this cannot fail for a reason that the next read or write does not tell.
	_ = unix.EpollCtl(s.loop.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.fd)})
}

func (s *fdSocket) write(p []byte) (int, error) {
	n, err := rawWrite(s.fd, p)
	return s.took(n, len(p), err)
}

// took is what a write of size bytes comes to, of which n were taken.
func (s *fdSocket) took(n, size int, err error) (int, error) {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		n, err = 0, nil
	}
	if err == nil && n < size {
		s.watch(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLOUT)
	}
	return n, err
}

// writeLater has flush do it; false where there is no ring, or no room in it.
func (s *fdSocket) writeLater(c *Conn) bool {
	l := s.loop
	if l.ring == nil || l.ring.full() {
		return false
	}
	l.ring.add(s.fd, c.rest)
	l.gathered = append(l.gathered, c)
	return true
}

// flush does what writeLater has put off. Called with the shard's lock, in one holding of it with all of that,
// so that the descriptors still belong to the connections.
func (l *loop) flush() {
	if len(l.gathered) == 0 {
		return
	}
	sends, err := l.ring.flush()
	if err != nil {
		l.shard.gw.cfg.Log.Warn("each viewer is written to by a system call of its own from now on", "err", err)
		l.ring.close()
		l.ring = nil
	}
	for i, send := range sends {
		c := l.gathered[i]
		sock := c.sock.(*fdSocket)
		switch {
		case send.res == notSent:
			c.wroteLater(sock.write(c.rest))
		case send.res < 0:
			c.wroteLater(sock.took(0, len(c.rest), unix.Errno(-send.res)))
		default:
			c.wroteLater(sock.took(int(send.res), len(c.rest), nil))
		}
	}
	clear(l.gathered)
	l.gathered = l.gathered[:0]
}

func (s *fdSocket) endWrites() { _ = unix.Shutdown(s.fd, unix.SHUT_WR) }

// close is called with the shard's lock, which whoever reads or writes the descriptor holds: its number
// may be another connection's in the next moment.
func (s *fdSocket) close() {
	s.loop.byFD[s.fd] = nil
	unix.Close(s.fd) // leaves the epoll instance by that
	s.fd = -1
}

// rawWrite and rawRead go past Go's scheduler: a socket that never blocks needs none of its
// bookkeeping, which costs as much as a tenth of the call. sendto(2) without an address is write(2), but
// does not look at what a socket has of a file, which is 2 to 4 % of it.
func rawWrite(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func rawRead(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
