package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"livecart/proto"
)

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
	conn := d.begin()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err := io.ReadFull(conn, make([]byte, 1)) // it is hijacked
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
