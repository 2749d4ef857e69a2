package session

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

// socketPair returns a socket of the loop's and the other end of it.
func socketPair(t testing.TB, l *loop) (*fdSocket, int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, pair[0], &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(pair[0])}); err != nil {
		t.Fatal(err)
	}
	for len(l.byFD) <= pair[0] {
		l.byFD = append(l.byFD, nil)
	}
	return &fdSocket{loop: l, fd: pair[0]}, pair[1]
}

// handLoop is a loop that the test drives, with one connection, and the other end of its socket.
func handLoop(t testing.TB) (l *loop, c *Conn, theirs int) {
	t.Helper()
	s, a := loneShard(t, GatewayConfig{})
	var err error
	if s.loop, err = newLoop(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.loop.stop)
	sock, theirs := socketPair(t, s.loop)
	c = seat(s, a, sock)
	s.loop.byFD[sock.fd] = c
	t.Cleanup(c.shutAtOnce)
	return s.loop, c, theirs
}

// turn serves what is ready, and returns how many sockets were.
func (l *loop) turn(t interface{ Fatal(...any) }) int {
	events := make([]unix.EpollEvent, maxReady)
	n, err := unix.EpollWait(l.epoll, events, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events[:n] {
		if err := l.ready(int(ev.Fd), ev.Events); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// A socket that takes more is no news but for who waits for that: the loop would go round without end.
func TestLoopRestsWhenASocketTakesMoreAgain(t *testing.T) {
	l, c, theirs := handLoop(t)
	for n := 0; !c.queue.stuck; n++ {
		if n > 10_000 {
			t.Fatal("the socket takes all")
		}
		c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: pad}}})
	}
	if l.turn(t) != 0 {
		t.Error("a full socket is ready")
	}
	buf := make([]byte, 64<<10)
	for c.queue.stuck {
		n, err := unix.Read(theirs, buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		if l.turn(t) == 0 && n <= 0 {
			t.Fatal("all is read, and nothing more is written")
		}
	}
	if l.turn(t) != 0 {
		t.Error("a socket that nobody waits for is ready")
	}
}

// What a refused client goes on sending is read away, for its close frame to arrive, but not for ever.
func TestRefusedClientIsNotListenedToForLong(t *testing.T) {
	l, c, theirs := handLoop(t)
	send := func(p []byte) {
		for len(p) > 0 {
			n, err := unix.Write(theirs, p)
			if err != nil {
				t.Fatal(err)
			}
			p = p[n:]
			l.turn(t)
		}
	}
	send(append([]byte{final | textFrame, 5}, "hello"...)) // without a mask
	if c.state == gone || !c.over() {
		t.Fatal("not refused")
	}
	more := clientFrame(final|textFrame, pad)
	sent := 0
	for ; c.state != gone; sent += len(more) {
		if sent > lingerBytes {
			t.Fatal("it is read on")
		}
		send(more)
	}
	if sent < lingerBytes/2 {
		t.Errorf("closed after %d bytes", sent)
	}
}

// Who sends many small messages at once has but a few answered before the others have their turn, and
// is no slow consumer of answers that it reads.
func TestFloodLeavesTheOthersTheirTurn(t *testing.T) {
	l, c, theirs := handLoop(t)
	// None comes back, however long this takes.
	c.pace.limiter = rate.NewLimiter(rate.Every(time.Hour), c.pace.limiter.Burst())
	flood := bytes.Repeat(clientFrame(final|binFrame, "x"), 9000)
	if n, err := unix.Write(theirs, flood); n != len(flood) {
		t.Fatalf("%d bytes fit: %v", n, err)
	}
	answers := make([]byte, 1<<20)
	for turns := 1; l.turn(t) > 0; turns++ {
		left, err := unix.IoctlGetInt(c.sock.(*fdSocket).fd, unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if read := len(flood) - left; read > turnBytes+(turns-1)*excessBytes {
			t.Fatalf("%d bytes are read in %d turns", read, turns)
		}
		if _, err := unix.Read(theirs, answers); err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
	if c.over() {
		t.Errorf("closed with %v", c.queue.end)
	}
}

// BenchmarkTurnOfFloods is one round of a loop over clients who send as many of the smallest messages as
// fit: what a neighbour waits for its own turn.
func BenchmarkTurnOfFloods(b *testing.B) {
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			l, _, _ := handLoop(b)
			var theirs []int
			for range clients {
				sock, other := socketPair(b, l)
				c := seat(l.shard, l.shard.conns[0].room, sock)
				l.byFD[sock.fd] = c
				b.Cleanup(c.shutAtOnce)
				theirs = append(theirs, other)
			}
			flood := bytes.Repeat(clientFrame(final|binFrame, "x"), 9000)
			rest := make([][]byte, clients)
			answers := make([]byte, 1<<20)
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				for i, fd := range theirs {
					_, _ = unix.Read(fd, answers)
					if len(rest[i]) == 0 {
						rest[i] = flood
					}
					if n, err := unix.Write(fd, rest[i]); err == nil {
						rest[i] = rest[i][n:]
					}
				}
				b.StartTimer()
				l.turn(b)
			}
		})
	}
}

// BenchmarkLargestMessages is a message of the greatest length, read in turns, of a client that keeps its
// pace.
func BenchmarkLargestMessages(b *testing.B) {
	l, c, theirs := handLoop(b)
	c.pace = newPace(1<<30, 1<<30)
	message := clientFrame(final|binFrame, strings.Repeat(" ", proto.MaxClientFrame))
	answers := make([]byte, 1<<20)
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		if n, err := unix.Write(theirs, message); n != len(message) {
			b.Fatal(n, err)
		}
		for l.turn(b) > 0 {
		}
		_, _ = unix.Read(theirs, answers)
	}
}

// BenchmarkShardWrite is one flush of 20 comments written to a row of sockets that take it, by a ring
// and by one sendto(2) a viewer. allocs/op does not grow with viewers.
func BenchmarkShardWrite(b *testing.B) {
	for _, viewers := range []int{1, 2, 4, 100, 1000, 4000} {
		for _, plain := range []bool{false, true} {
			b.Run(fmt.Sprintf("viewers=%d/plain=%t", viewers, plain), func(b *testing.B) { benchmarkShardWrite(b, viewers, plain) })
		}
	}
}

func benchmarkShardWrite(b *testing.B, viewers int, plain bool) {
	s, a := loneShard(b, GatewayConfig{NoIOUring: plain})
	var err error
	if s.loop, err = newLoop(s); err != nil {
		b.Fatal(err)
	}
	defer s.loop.stop()
	if !plain && s.loop.ring == nil {
		stacktest.Require(b, "io_uring", "there is none")
	}
	var theirs []int
	for range viewers {
		sock, other := socketPair(b, s.loop)
		theirs = append(theirs, other)
		c := seat(s, a, sock)
		s.loop.byFD[sock.fd] = c
		defer c.shutAtOnce()
	}
	flush := flushOf(b, 20, 0)
	walk := func() {
		s.post(flushTo(a, flush))
		s.walkAll()
	}
	walk() // what a queue keeps is made once
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		walk()
		if n++; n%16 == 0 {
			b.StopTimer()
			for _, fd := range theirs {
				if _, err := unix.Read(fd, buf); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(viewers), "ns/viewer")
}

// BenchmarkJoin is a handshake over loopback up to the welcome, and the end of the connection; the
// client's side is in it.
func BenchmarkJoin(b *testing.B) {
	w := newWorld(b)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.JoinRate = 1 << 20 })
	first := g.dial(b, dial{})
	first.welcome()
	for _, tc := range []struct {
		name  string
		token string
	}{{"anonymous", ""}, {"token", w.token("vera", "viewer", time.Hour)}} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			d := websocket.Dialer{Subprotocols: []string{proto.Binary.String()}, HandshakeTimeout: patience}
			for b.Loop() {
				ws, _, err := d.Dial(dial{token: tc.token}.url(g.url), nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := ws.ReadMessage(); err != nil {
					b.Fatal(err)
				}
				ws.Close()
			}
		})
	}
}

// A descriptor's number is another connection's right after it was closed. Whoever still has the old
// connection in hand neither writes to the new one nor reads from it.
func TestDescriptorsAreNotMixedUp(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.RoomTick = time.Millisecond })
	var old []*Conn
	for range 60 {
		c := g.raw(t)
		for n := range 5 {
			w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(n)))
		}
		c.write(clientFrame(final|textFrame, pingText("mine")))
		old = append(old, g.all()...)
		c.pong("mine")
		if len(c.got) != 1 {
			t.Fatalf("got the answers to %v", c.got)
		}
		c.conn.Close()
		// Frames for connections that are gone, while new ones take their numbers.
		for _, gone := range old {
			if gone.over() {
				gone.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "not yours", Result: &proto.Reply_Ok{Ok: &proto.Ok{Value: &proto.Ok_Pong{Pong: new(proto.Pong)}}}}}})
			}
		}
	}
	eventually(t, "all are gone", func() bool { return len(g.all()) == 0 })
	// A connection that a loop remembered would keep its memory until its number comes again.
	for _, s := range g.shards {
		s.mu.Lock()
		if i := slices.IndexFunc(s.loop.byFD, func(c *Conn) bool { return c != nil }); i >= 0 {
			t.Errorf("a loop remembers who had descriptor %d", i)
		}
		s.mu.Unlock()
	}
}

// When a loop can wait for its sockets no more its viewers go elsewhere at once, the others in their
// turn, and Run says why.
func TestGatewayThatCannotReadItsSocketsEnds(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.DrainTimeout = time.Minute }) // nobody's turn is in the first 6 s
	viewers := make(map[string]*client)
	for n := range 6 {
		name := fmt.Sprint("viewer-", n)
		viewers[name] = g.dial(t, dial{token: w.token(name, "viewer", 0)})
		viewers[name].welcome()
	}
	broken := g.shards[0]
	var deserted, others []*client
	for _, c := range g.all() {
		if c.shard == broken {
			deserted = append(deserted, viewers[c.userID])
		} else {
			others = append(others, viewers[c.userID])
		}
	}
	breakEpoll(t, broken.loop)
	deserted[0].send(ping("wakes the loop"))
	for _, c := range deserted {
		if code, _ := c.closed(); code != websocket.CloseServiceRestart {
			t.Errorf("closed with %d", code)
		}
	}
	if err := g.Ready(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("readiness: %v", err)
	}
	for _, c := range others {
		select {
		case <-c.done:
			t.Error("a viewer who can be heard was closed as well")
		default:
		}
		c.event("session_reconnect", nil)
		c.close()
	}
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/rooms/demo/ws", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("a handshake: %d", answer.Code)
	}
	select {
	case err := <-g.ended:
		if !errors.Is(err, unix.EINVAL) {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(patience):
		t.Error("Run goes on")
	}
}

// A socket that a loop cannot take, as descriptors or watches have run out, is served by goroutines.
func TestSocketsThatALoopCannotTakeAreServed(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	for _, s := range g.shards {
		breakEpoll(t, s.loop)
	}
	for range 2 * len(g.shards) {
		c := g.dial(t, dial{})
		c.welcome()
		c.send(ping("served"))
		c.reply("served")
	}
}

// breakEpoll puts something else in the place of the loop's epoll instance. The instance lives on, so
// that its next event wakes the loop.
func breakEpoll(t *testing.T, l *loop) {
	t.Helper()
	instance, err := unix.FcntlInt(uintptr(l.epoll), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(instance) })
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, l.epoll, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}
