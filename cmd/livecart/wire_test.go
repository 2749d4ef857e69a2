package main

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire carries connections to a server until it is cut, like the network of a phone in a lift: open
// connections break, new ones are refused.
type wire struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}

	carriers sync.WaitGroup
}

// wireTo returns a wire to the server of a URL, and the URL of its near end. It ends with the test.
func wireTo(t *testing.T, far string) (w *wire, near string) {
	t.Helper()
	u, err := url.Parse(far)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{listener: listener, server: u.Host, conns: map[net.Conn]struct{}{}}
	w.carriers.Add(1)
	go w.accept() // ends when the listener closes
	t.Cleanup(func() {
		listener.Close()
		w.set(true)
		w.carriers.Wait()
	})
	u.Host = listener.Addr().String()
	return w, u.String()
}

// set cuts the wire or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for conn := range w.conns {
			conn.Close()
		}
	}
}

func (w *wire) accept() {
	defer w.carriers.Done()
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.carriers.Add(1)
		go w.carry(near) // ends when either side closes, at the latest with the wire
	}
}

func (w *wire) carry(near net.Conn) {
	defer w.carriers.Done()
	if !w.hold(near) {
		return
	}
	defer w.drop(near)
	far, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	if !w.hold(far) {
		return
	}
	defer w.drop(far)
	w.carriers.Add(1)
	go func() { // ends when either side closes
		defer w.carriers.Done()
		io.Copy(near, far)
		near.Close()
	}()
	io.Copy(far, near)
}

// hold keeps a connection until drop; on a cut wire it closes it and reports false.
func (w *wire) hold(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		conn.Close()
		return false
	}
	w.conns[conn] = struct{}{}
	return true
}

func (w *wire) drop(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
	conn.Close()
}
