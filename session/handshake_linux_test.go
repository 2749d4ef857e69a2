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
	"strings"
	"testing"
	"time"

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
