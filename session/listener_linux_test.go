package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// door is a server behind a handshake listener.
type door struct {
	t    *testing.T
	addr string
	logs bytes.Buffer
	// Has a token for each connection that the server got; it is let go where nobody waits for it.
	plain chan struct{}
	stop  func() error // returns what Serve did
}

func openDoor(t *testing.T, handler http.HandlerFunc, change ...func(*handshakeListener)) *door {
	t.Helper()
	d := &door{t: t, plain: make(chan struct{}, 1)}
	log := slog.New(slog.NewTextHandler(&d.logs, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	if l, err = HandshakeListener(l, handler, log); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(l.(*handshakeListener))
	}
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			select {
			case d.plain <- struct{}{}:
			default:
			}
		}
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	d.stop = sync.OnceValue(func() error {
		server.Close()
		return <-served
	})
	t.Cleanup(func() { d.stop() })
	return d
}

// ask sends each part once the server had a look at the one before, and returns all that comes back. Any
// goroutine may call it.
func (d *door) ask(parts ...string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Error(err)
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	select {
	case <-d.plain: // of an earlier one
	default:
	}
	for n, part := range parts {
		if n > 0 {
			select {
			case <-d.plain:
			case <-time.After(patience):
				d.t.Error("the server did not get the connection")
			}
		}
		if _, err := io.WriteString(conn, part); err != nil {
			d.t.Error(err)
		}
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		d.t.Error(err)
	}
	return string(answer)
}

// begin sends a handshake.
func (d *door) begin() net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, handshakeText); err != nil {
		d.t.Fatal(err)
	}
	return conn
}

// whose tells whether net/http's server has read a request.
func whose(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(http.ServerContextKey) != nil {
		w.Header().Set("Connection", "close")
		fmt.Fprintf(w, "the server's: %s %s %s", r.Method, r.URL, r.Host)
		return
	}
	fmt.Fprintf(w, "a handshake: %s %s %s", r.Method, r.URL, r.Host)
}

func TestHandshakeListenerGivesAllElseToTheServer(t *testing.T) {
	d := openDoor(t, whose)
	if answer := d.ask(handshakeText); !strings.HasSuffix(answer, "\r\n\r\na handshake: GET /v1/rooms/demo/ws?after_seq=3 shop.example:8080") {
		t.Errorf("a handshake is answered %q", answer)
	}
	for _, cut := range []int{1, 20, len(handshakeText) - 1} {
		if answer := d.ask(handshakeText[:cut], handshakeText[cut:]); !strings.HasSuffix(answer, "\r\n\r\nthe server's: GET /v1/rooms/demo/ws?after_seq=3 shop.example:8080") {
			t.Errorf("a handshake in two parts is answered %q", answer)
		}
	}
	for _, target := range []string{"/%", "/ /x", "/%zz?a"} {
		if answer := d.ask(strings.Replace(handshakeText, "/v1/rooms/demo/ws?after_seq=3", target, 1)); !strings.HasPrefix(answer, "HTTP/1.1 400 Bad Request\r\n") {
			t.Errorf("%s: answered %q", target, answer)
		}
	}
	for name, text := range unusual() {
		switch name {
		case "nothing", "half a line", "half a head", "a body", "a body in chunks", "expectation":
			continue // the server waits for the rest
		}
		if answer := d.ask(text); !strings.Contains(answer, "the server's: ") && !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
}

func TestHandshakeThatPanicsIsLoggedAndEndsAlone(t *testing.T) {
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		whose(w, r)
		switch r.URL.Path {
		case "/panic":
			panic("out of order")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})
	for _, path := range []string{"/panic", "/abort"} {
		if answer := d.ask(strings.Replace(handshakeText, "/v1/rooms/demo/ws", path, 1)); answer != "" {
			t.Errorf("%s is answered %q", path, answer)
		}
	}
	if answer := d.ask(handshakeText); !strings.Contains(answer, "a handshake") {
		t.Errorf("the next one is answered %q", answer)
	}
	if err := d.stop(); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if logs := d.logs.String(); strings.Count(logs, "level=ERROR") != 1 || !strings.Contains(logs, "out of order") || !strings.Contains(logs, "listener_linux_test.go") {
		t.Errorf("logged %s", logs)
	}
}

// Neither a handler that waits for its context nor a client that reads nothing of a long answer keeps it.
func TestHandshakesEndByThemselves(t *testing.T) {
	var written atomic.Int32
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.Write(make([]byte, 16<<20))
		written.Add(1)
	}, func(h *handshakeListener) { h.timeout, h.answerLimit = 20*time.Millisecond, 20*time.Millisecond })
	for range 2 {
		conn := d.begin()
		defer conn.Close()
	}
	eventually(t, "both are answered", func() bool { return written.Load() == 2 })
	if err := d.stop(); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// What ends the context of a handshake. A handler that says nothing then is not made to say anything.
func TestHandshakeContexts(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(d *door, conn net.Conn)
		want error
	}{
		{"the client goes", func(_ *door, conn net.Conn) { conn.Close() }, errClientGone},
		{"the client resets", func(_ *door, conn net.Conn) { conn.(*net.TCPConn).SetLinger(0); conn.Close() }, errClientGone},
		{"the client has no more to say", func(_ *door, conn net.Conn) { conn.(*net.TCPConn).CloseWrite() }, errClientGone},
		{"the listener is closed", func(d *door, _ net.Conn) { go d.stop() }, ErrDraining},
		{"time passes", func(*door, net.Conn) {}, errTakesLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			begun, causes := make(chan struct{}), make(chan error, 1)
			d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				<-r.Context().Done()
				causes <- context.Cause(r.Context())
			}, func(h *handshakeListener) {
				if tc.want == errTakesLong {
					h.timeout = time.Millisecond
				}
			})
			conn := d.begin()
			defer conn.Close()
			<-begun
			tc.end(d, conn)
			select {
			case got := <-causes:
				if !errors.Is(got, tc.want) {
					t.Errorf("ended by %v", got)
				}
			case <-time.After(patience):
				t.Fatal("the context goes on")
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if answer, err := io.ReadAll(conn); len(answer) > 0 {
				t.Errorf("answered %q, %v", answer, err)
			}
		})
	}
}

// After a rush a bounded number of workers waits for the next one.
func TestWorkersWaitForHandshakes(t *testing.T) {
	const clients = 2 * idleWorkers
	begun, leave := make(chan struct{}), make(chan struct{})
	var h *handshakeListener
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-leave
		whose(w, r)
	}, func(l *handshakeListener) { h = l })
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() { d.ask(handshakeText) })
	}
	for range clients {
		<-begun
	}
	if n := h.idle.Load(); n != 0 {
		t.Errorf("%d wait while all are needed", n)
	}
	close(leave)
	asking.Wait()
	eventually(t, "some workers wait", func() bool { return h.idle.Load() == idleWorkers })
}

func TestHandshakeListenerWithoutLog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of order") })
	if l, err = HandshakeListener(l, handler, nil); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	server := &http.Server{Handler: handler}
	go func() { served <- server.Serve(l) }()
	d := &door{t: t, addr: l.Addr().String()}
	if answer := d.ask(handshakeText); answer != "" {
		t.Errorf("answered %q", answer)
	}
	server.Close()
	<-served
	for range 2 {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepts after its end: %v", err)
		}
	}
}

// Its end is the end of all handshakes.
func TestHandshakeListenerEndsAfterItsHandshakes(t *testing.T) {
	const clients = 3 * idleWorkers
	begun, leave := make(chan struct{}, clients), make(chan struct{})
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-leave
		whose(w, r)
	})
	answers := make(chan string, clients)
	for range clients {
		go func() { answers <- d.ask(handshakeText) }()
	}
	for range clients {
		<-begun
	}
	ended := make(chan error, 1)
	go func() { ended <- d.stop() }()
	eventually(t, "nobody is let in", func() bool {
		conn, err := net.Dial("tcp", d.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-ended:
		t.Fatalf("Serve returned %v before its handshakes were over", err)
	default:
	}
	close(leave)
	for range clients {
		if answer := <-answers; !strings.Contains(answer, "a handshake") {
			t.Errorf("answered %q", answer)
		}
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// Who says nothing is the server's after some seconds.
func TestSilentConnectionsAreTheServers(t *testing.T) {
	d := openDoor(t, whose)
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	select {
	case <-d.plain:
	case <-time.After(2 * deferSeconds * time.Second):
		t.Error("it is never accepted")
	}
}
