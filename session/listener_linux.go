package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"livecart/proto"
)

const (
	// deferSeconds is how long the kernel may wait for a connection's first bytes before it is accepted.
	deferSeconds = 3
	// handshakeTimeout bounds the context of a handshake, for which a room may have to be opened.
	handshakeTimeout = 30 * time.Second
	// answerTimeout bounds the writing of an answer that is no upgrade and more than a new socket takes.
	answerTimeout = 5 * time.Second
	// idleWorkers is how many goroutines wait for the next handshake: the stack of a new one has to grow first.
	idleWorkers = 64
)

// errTakesLong is the cause of the end of a handshake's context after handshakeTimeout.
var errTakesLong = proto.Refuse(proto.ReasonTryAgain, "this took too long")

// handshakeListener is what [HandshakeListener] returns.
type handshakeListener struct {
	// Fixed after construction.
	tcp                  *net.TCPListener
	file                 *os.File // the same socket
	raw                  syscall.RawConn
	handler              http.Handler
	log                  *slog.Logger
	timeout, answerLimit time.Duration
	// Ends with Close, and with it whatever is not over by itself.
	open  context.Context
	close context.CancelCauseFunc

	work chan handshake // for an idle worker
	idle atomic.Int32

	// Owned by Accept.
	workers sync.WaitGroup
	kept    *os.File // for the server, when there is a descriptor left to hand it over by
}

// handshake is a connection and what it began with.
type handshake struct {
	conn *bareConn
	head *handshakeHead
}

func listenForHandshakes(l net.Listener, handler http.Handler, log *slog.Logger) (net.Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l, nil
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	file, err := tcp.File() // a TCPListener accepts nothing but what goes to Go's poller
	if err != nil {
		return nil, fmt.Errorf("listen for handshakes: %w", err)
	}
	h := &handshakeListener{
		tcp: tcp, file: file, handler: handler, log: log, timeout: handshakeTimeout, answerLimit: answerTimeout,
		work: make(chan handshake),
	}
	h.open, h.close = context.WithCancelCause(context.Background())
	if h.raw, err = file.SyscallConn(); err == nil {
		var failed error
		err = h.raw.Control(func(fd uintptr) { failed = bequeath(int(fd)) })
		err = errors.Join(err, failed)
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		// Go's listeners are of MPTCP, for which Linux has these options since 6.0 only.
		log.Info("handshakes are net/http's, as this kernel is too old for others", "err", err)
		file.Close()
		return l, nil
	case err != nil:
		file.Close()
		return nil, fmt.Errorf("listen for handshakes: %w", err)
	}
	return h, nil
}

// bequeath sets on a listening socket what its connections are to have. They have it from their first
// moment then, for nothing.
func bequeath(fd int) error {
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		// So that there is nearly always something to be read when a connection is accepted.
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferSeconds),
	)
}

func (h *handshakeListener) Addr() net.Addr { return h.tcp.Addr() }

// Close ends Accept and the contexts of the handshakes.
func (h *handshakeListener) Close() error {
	h.close(ErrDraining)
	return errors.Join(h.tcp.Close(), h.file.Close())
}

// Accept answers handshakes until a connection of another kind comes, which it returns. It is for one
// goroutine, as the one of a server.
func (h *handshakeListener) Accept() (conn net.Conn, err error) {
	for h.open.Err() == nil {
		conn, err = h.acceptOne()
		switch {
		case h.open.Err() != nil:
			if conn != nil {
				conn.Close()
			}
		case err != nil:
			return nil, h.failed(err)
		case conn != nil:
			return conn, nil
		}
	}
	if h.kept != nil {
		h.kept.Close()
		h.kept = nil
	}
	h.workers.Wait() // all end by the context
	return nil, h.failed(net.ErrClosed)
}

func (h *handshakeListener) failed(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: h.Addr(), Err: err}
}

// acceptOne accepts a connection, and returns it where it is the server's.
func (h *handshakeListener) acceptOne() (net.Conn, error) {
	if h.kept == nil {
		fd, peer, err := h.acceptFD()
		if err != nil {
			return nil, err
		}
		if head := peekHandshake(fd); head != nil {
			h.start(handshake{&bareConn{fd: fd, peer: peer}, head})
			return nil, nil
		}
		h.kept = os.NewFile(uintptr(fd), "tcp")
	}
	conn, err := net.FileConn(h.kept)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil, errors.Unwrap(err) // it is tried again
	}
	h.kept.Close()
	h.kept = nil
	if err != nil || conn.RemoteAddr() == nil {
		h.log.Debug("a connection was reset before it was served", "err", err)
		if conn != nil {
			conn.Close()
		}
		return nil, nil
	}
	return conn, nil
}

func (h *handshakeListener) acceptFD() (fd int, peer syscall.Sockaddr, err error) {
	waited := h.raw.Read(func(listening uintptr) bool {
		for {
			// Package unix would ask for the protocol of each one.
			fd, peer, err = syscall.Accept4(int(listening), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if waited != nil {
		return -1, nil, waited
	}
	return fd, peer, os.NewSyscallError("accept4", err)
}

// start has a worker answer a handshake.
func (h *handshakeListener) start(next handshake) {
	select {
	case h.work <- next:
	default:
		h.workers.Go(func() {
			for ok := true; ok; {
				h.serve(next.conn, next.head)
				next, ok = h.rest()
			}
		})
	}
}

// rest waits for another handshake, unless enough workers wait already.
func (h *handshakeListener) rest() (next handshake, ok bool) {
	defer h.idle.Add(-1)
	if h.idle.Add(1) > idleWorkers {
		return next, false
	}
	select {
	case next = <-h.work:
		return next, true
	case <-h.open.Done():
		return next, false
	}
}

// serve has the handler answer a handshake.
func (h *handshakeListener) serve(conn *bareConn, head *handshakeHead) {
	ctx, cancel := context.WithCancelCause(h.open)
	defer cancel(nil)
	conn.watch(h.timeout, cancel)
	answer := &handshakeAnswer{conn: conn, header: make(http.Header)}
	whole := false
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			h.log.Error("a handshake panicked", "panic", p, "stack", string(debug.Stack()))
		}
		switch {
		case !whole:
			conn.Close() // even from who has hijacked it
		case !answer.hijacked:
			answer.write(ctx, h.answerLimit)
			conn.Close()
		}
	}()
	r, reader, err := head.take(ctx, conn)
	answer.reader = reader
	if err != nil {
		http.Error(answer, "400 Bad Request", http.StatusBadRequest)
	} else {
		h.handler.ServeHTTP(answer, r)
	}
	whole = true
}
