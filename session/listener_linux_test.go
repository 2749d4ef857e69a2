package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"livecart/proto"
)

// handshakeText is what a browser sends, more or less.
const handshakeText = "GET /v1/rooms/demo/ws?after_seq=3 HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: livecart.v1.json\r\n\r\n"

// unusual are beginnings of connections that are net/http's, by name.
func unusual() map[string]string {
	change := func(old, new string) string {
		text := strings.Replace(handshakeText, old, new, 1)
		if text == handshakeText {
			panic("nothing to change: " + old)
		}
		return text
	}
	return map[string]string{
		"nothing":              "",
		"half a line":          handshakeText[:20],
		"half a head":          handshakeText[:len(handshakeText)-2],
		"bytes behind":         handshakeText + "x",
		"two requests":         handshakeText + handshakeText,
		"over 4 KiB":           change("after_seq=3", "access_token="+strings.Repeat("x", handshakeBytes)),
		"no upgrade":           change("Upgrade: websocket\r\n", ""),
		"another upgrade":      change("Upgrade: websocket", "Upgrade: h2c"),
		"two hosts":            change("Connection", "Host: x\r\nConnection"),
		"no host":              change("Host: shop.example:8080\r\n", ""),
		"odd host":             change("shop.example:8080", "shop.example/x"),
		"POST":                 change("GET", "POST"),
		"a body":               change("Connection", "Content-Length: 1\r\nConnection"),
		"a body in chunks":     change("Connection", "Transfer-Encoding: chunked\r\nConnection"),
		"expectation":          change("Connection", "Expect: 100-continue\r\nConnection"),
		"HTTP/1.0":             change("HTTP/1.1", "HTTP/1.0"),
		"absolute target":      change("/v1", "http://shop.example/v1"),
		"header over lines":    change("Mozilla", "\r\n Mozilla"),
		"space before a colon": change("User-Agent:", "User-Agent :"),
		"no space behind one":  change("User-Agent: ", "User-Agent:"),
		"not a header":         change("User-Agent: ", "User-Agent "),
		"no name":              change("User-Agent: ", ": "),
		"beyond ASCII":         change("Mozilla", "Möbel"),
		"control character":    change("Mozilla", "Moz\x01lla"),
		"bare line feed":       change("\r\nUser-Agent", "\nUser-Agent"),
		"bare line feed later": change("Mozilla", "Moz\nX: lla"),
	}
}

func TestOnlyPlainHandshakesAreTakenFromTheServer(t *testing.T) {
	if !isHandshake([]byte(handshakeText)) {
		t.Error("a handshake is not known")
	}
	limit := strings.Replace(handshakeText, "after_seq=3", "access_token=", 1)
	limit = strings.Replace(limit, "access_token=", "access_token="+strings.Repeat("x", handshakeBytes-len(limit)), 1)
	if len(limit) != handshakeBytes || !isHandshake([]byte(limit)) {
		t.Errorf("one of %d bytes is not known", len(limit))
	}
	for name, text := range unusual() {
		if isHandshake([]byte(text)) {
			t.Errorf("%s: is taken for one", name)
		}
	}
}

// What is taken for a handshake is for net/http a request as for us.
func FuzzHandshakeIsWhatNetHTTPReads(f *testing.F) {
	f.Add([]byte(handshakeText))
	for _, text := range unusual() {
		f.Add([]byte(text))
	}
	seen := make(chan *http.Request, 1)
	server := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r })}
	conns := make(pipeListener)
	served := make(chan error, 1)
	go func() { served <- server.Serve(conns) }()
	f.Cleanup(func() {
		server.Close()
		<-served
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isHandshake(data) {
			return
		}
		ours, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		client, theirs := net.Pipe()
		defer client.Close()
		conns <- theirs
		go client.Write(data) // ends with client
		answer, _ := http.ReadResponse(bufio.NewReader(client), nil)
		if answer == nil {
			t.Fatal("no answer")
		}
		if err != nil {
			if answer.StatusCode != http.StatusBadRequest {
				t.Fatalf("%v, net/http answers %s", err, answer.Status)
			}
			return
		}
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("net/http answers %s", answer.Status)
		}
		r := <-seen
		if got, want := fmt.Sprint(ours.Method, ours.RequestURI, ours.URL, ours.Host, ours.Header, ours.Proto, ours.ContentLength, ours.Close),
			fmt.Sprint(r.Method, r.RequestURI, r.URL, r.Host, r.Header, r.Proto, r.ContentLength, r.Close); got != want {
			t.Fatalf("read\n%s, net/http reads\n%s", got, want)
		}
	})
}

// pipeListener accepts what is sent on it.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

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

// With any handler a handshake is answered as net/http would, which only says less of its own accord.
func TestHandshakeAnswersAreThoseOfNetHTTP(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"a text":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"some texts": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<html>")
			io.WriteString(w, "</html>")
		},
		"a status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"two of them":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) },
		"no content":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"not modified": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"x"`); w.WriteHeader(304) },
		"headers":      func(w http.ResponseWriter, _ *http.Request) { w.Header()["X"] = []string{"1", "2"}; w.WriteHeader(200) },
		"a header too late": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			w.Header().Set("X", "1")
		},
		"a problem": func(w http.ResponseWriter, r *http.Request) {
			WriteProblem(w, r, slog.New(slog.DiscardHandler), ErrFull)
		},
		"a page":        func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("page "), 1<<20)) },
		"a redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusSeeOther) },
		"a hint before": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(102); io.WriteString(w, "hello") },
		"a body where none may be": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(304)
			if _, err := io.WriteString(w, "hello"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("it is written: %v", err)
			}
		},
		"its own type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			io.WriteString(w, "<html>")
		},
		"who asks": func(w http.ResponseWriter, r *http.Request) {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprint(w, host, err)
		},
		"a second one": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", http.StatusTeapot)
			io.WriteString(w, "really")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, handler)
			theirs := httptest.NewServer(handler)
			defer theirs.Close()
			other := &door{t: t, addr: theirs.Listener.Addr().String()}
			text := strings.Replace(handshakeText, "keep-alive, Upgrade", "close, Upgrade", 1)
			got, want := parsed(t, d.ask(text)), parsed(t, other.ask(text))
			if got != want {
				t.Errorf("answered\n%.500s, by net/http\n%.500s", got, want)
			}
		})
	}
}

func parsed(t *testing.T, answer string) string {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(answer))
	r, err := http.ReadResponse(reader, nil)
	for err == nil && r.StatusCode < 200 {
		r, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		t.Fatalf("%v: %q", err, answer)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("Date: %q", r.Header.Get("Date"))
	}
	r.Header.Del("Date")
	r.Header.Del("Content-Length") // net/http counts short answers only
	return fmt.Sprint(r.Status, r.Proto, r.Close, r.Header, string(body))
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
		conn, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, handshakeText); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both are answered", func() bool { return written.Load() == 2 })
	if err := d.stop(); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// What ends the context of a handshake, and what the gateway answers then.
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
			conn, err := net.Dial("tcp", d.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, handshakeText); err != nil {
				t.Fatal(err)
			}
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

func TestHandshakeThatIsCutShortIsToldWhy(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	for cause, want := range map[error]int{ErrDraining: 503, errTakesLong: 503, errClientGone: 0} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/rooms/nowhere/ws", nil)
		r.SetPathValue("room", "nowhere")
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {proto.JSON.String()}}
		answer := httptest.NewRecorder()
		answer.Code = 0
		g.ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("%v: answered %d, want %d", cause, answer.Code, want)
		}
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

// Whoever hijacks a handshake has an ordinary connection.
func TestHijackedHandshakeIsAnOrdinaryConnection(t *testing.T) {
	upgrader := websocket.Upgrader{}
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("written afterwards: %v", err)
		}
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("hijacked again: %v", err)
		}
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if string(data) == "addresses" {
				data = fmt.Append(nil, ws.LocalAddr(), " ", ws.RemoteAddr(), " ", r.RemoteAddr)
			}
			if err := ws.WriteMessage(kind, data); err != nil {
				t.Error(err)
			}
		}
	})
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+d.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	for _, text := range []string{"hello", strings.Repeat("long ", 1<<20), "addresses"} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, data, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		want := text
		if text == "addresses" {
			want = fmt.Sprint(ws.RemoteAddr(), " ", ws.LocalAddr(), " ", ws.LocalAddr())
		}
		if string(data) != want {
			t.Errorf("%.40q comes back as %.80q", text, data)
		}
	}
}

// A viewer whose handshake was net/http's is a viewer like all others.
func TestLoopTakesWhatNetHTTPHadFirst(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}, HandshakeTimeout: patience}
	ws, _, err := d.Dial(dial{}.url(g.url), http.Header{"X-Pad": {strings.Repeat("x", handshakeBytes)}})
	w.must(err)
	defer ws.Close()
	w.must(ws.SetReadDeadline(time.Now().Add(patience)))
	w.must(ws.WriteMessage(websocket.TextMessage, []byte(pingText("here"))))
	for {
		_, data, err := ws.ReadMessage()
		w.must(err)
		if strings.Contains(string(data), "here") {
			break
		}
	}
	c := g.all()[0]
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if _, ok := c.sock.(*fdSocket); !ok {
		t.Errorf("it is served as a %T", c.sock)
	}
}

// Between the listener and the gateway somebody may have used the connection.
func TestLoopTakesWhatIsOrdinaryAlready(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/rooms/{room}/ws", func(rw http.ResponseWriter, r *http.Request) {
		if err := rw.(*handshakeAnswer).conn.SetDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		g.ServeHTTP(rw, r)
	})
	d := openDoor(t, mux.ServeHTTP)
	ws, _, err := (&websocket.Dialer{Subprotocols: []string{proto.JSON.String()}}).Dial(dial{}.url("http://"+d.addr), nil)
	w.must(err)
	defer ws.Close()
	_, data, err := ws.ReadMessage()
	if err != nil || !strings.Contains(string(data), "session_welcome") {
		t.Errorf("read %.80q, %v", data, err)
	}
}

// A connection is read and written at the same time, from the first byte on.
func TestBareConnIsSafeForReaderAndWriter(t *testing.T) {
	d := openDoor(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		var writing sync.WaitGroup
		writing.Go(func() {
			if _, err := conn.Write(bytes.Repeat([]byte("x"), 8<<20)); err != nil {
				t.Error(err)
			}
		})
		if line, err := buffered.ReadString('\n'); err != nil || line != "here\n" {
			t.Errorf("read %q, %v", line, err)
		}
		writing.Wait()
	})
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, handshakeText)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1)) // it is hijacked
	}
	if err == nil {
		_, err = io.WriteString(conn, "here\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, conn); n != 8<<20-1 || err != nil {
		t.Errorf("got %d bytes more, %v", n, err)
	}
}

// A handshake costs no descriptor but its socket's, and none is left of it.
func TestHandshakesLeaveNoDescriptors(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	g.dial(t, dial{}).welcome()
	before := openDescriptors(t)
	for range 50 {
		c := g.dial(t, dial{format: proto.JSON})
		c.welcome()
		c.close()
		resp, err := http.Get(g.url + "/v1/rooms/demo/ws")
		w.must(err)
		resp.Body.Close()
		ws, _, err := websocket.DefaultDialer.Dial(dial{room: "nowhere"}.url(g.url), nil)
		if err == nil {
			ws.Close()
			t.Fatal("there is such a room")
		}
	}
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "all descriptors are back", func() bool { return openDescriptors(t) <= before })
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Connections have from their listener what would cost each of them a system call.
func TestConnectionsInheritTheirOptions(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	g.dial(t, dial{}).welcome()
	c := g.all()[0]
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	fd := c.sock.(*fdSocket).fd
	for option, want := range map[int]int{unix.TCP_NODELAY: 1, unix.TCP_NOTSENT_LOWAT: unsentBytes} {
		if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option); err != nil || got != want {
			t.Errorf("option %d is %d (%v), want %d", option, got, err, want)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child would have it: %d, %v", flags, err)
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
