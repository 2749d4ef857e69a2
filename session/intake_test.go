package session

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"livecart/proto"
)

// clientFrame is a masked frame of a client; first is its first byte.
func clientFrame(first byte, payload string) []byte {
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^mask[i%4])
	}
	return frame
}

// First bytes of frames: with final the last one of a message.
const (
	final      = 0x80
	follows    = 0x00
	textFrame  = websocket.TextMessage
	binFrame   = websocket.BinaryMessage
	pingOpcode = websocket.PingMessage
	pongOpcode = websocket.PongMessage
	endOpcode  = websocket.CloseMessage
)

// However messages are fragmented, mixed with control frames and cut into segments, each arrives whole
// and once, in order, and each ping is answered.
func TestMessagesArriveHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, a := loneShard(t, GatewayConfig{QueueBytes: 1 << 20})
		sock := new(narrow)
		c := seat(s, a, sock)
		reader, err := newFrameReader()
		if err != nil {
			t.Fatal(err)
		}
		reader.wire.owner = c
		var sent []string
		var wire []byte
		pings := 0
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			text := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, rapid.SampledFrom([]int{5, 300, 9000}).Draw(t, "size"), -1).Draw(t, "text")
			sent = append(sent, text)
			first, rest := byte(textFrame), text
			for range rapid.IntRange(0, 3).Draw(t, "fragments") {
				n := rapid.IntRange(0, len(rest)).Draw(t, "cut")
				wire = append(wire, clientFrame(first, rest[:n])...)
				first, rest = follows, rest[n:]
				if rapid.Bool().Draw(t, "ping") {
					pings++
					wire = append(wire, clientFrame(final|pingOpcode, fmt.Sprint(pings))...)
				}
			}
			wire = append(wire, clientFrame(final|first, rest)...)
		}
		var in intake
		var got []string
		buf := make([]byte, intakeBuffer)
		for len(wire) > 0 {
			n := rapid.IntRange(1, min(len(wire), intakeBuffer-len(in.held))).Draw(t, "segment")
			held := in.fill(buf)
			copy(buf[held:], wire[:n])
			wire = wire[n:]
			if err := in.take(reader, buf[:held+n], func(kind int, data []byte) {
				if kind != textFrame {
					t.Fatalf("a message of kind %d", kind)
				}
				got = append(got, string(data))
			}); err != nil {
				t.Fatalf("after %d messages: %v", len(got), err)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(sent) || in.held != nil {
			t.Fatalf("%d messages of %d, %d bytes are held", len(got), len(sent), len(in.held))
		}
		sock.open(c, 1<<20)
		var want []byte
		for n := range pings {
			want = append(want, frameBytes(pongOpcode, []byte(fmt.Sprint(n+1)))...)
		}
		if !bytes.Equal(sock.got, want) {
			t.Fatalf("answers %q to %d pings", sock.got, pings)
		}
	})
}

// rawClient speaks bytes.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	ws   *websocket.Conn // to read
	got  map[string]bool // request_ids of pongs
}

func (g *gate) raw(t *testing.T) *rawClient {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}, HandshakeTimeout: patience, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, _, err := d.Dial(dial{}.url(g.url), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	c := &rawClient{t: t, conn: ws.NetConn(), ws: ws, got: make(map[string]bool)}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	return c
}

func (c *rawClient) write(segments ...[]byte) {
	c.t.Helper()
	for _, p := range segments {
		if _, err := c.conn.Write(p); err != nil {
			return // refused by now; what it was told is what counts
		}
	}
}

// pong waits for the answer to a ping command of that request_id.
func (c *rawClient) pong(requestID string) {
	c.t.Helper()
	for !c.got[requestID] {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			c.t.Fatalf("no answer to %s: %v", requestID, err)
		}
		frame := new(proto.ServerFrame)
		if err := proto.Decode(proto.JSON, data, frame); err != nil {
			c.t.Fatal(err)
		}
		for _, r := range frame.Replies {
			c.got[r.RequestId] = r.GetOk().GetPong() != nil
		}
	}
}

// code waits for the close frame.
func (c *rawClient) code() int {
	c.t.Helper()
	for {
		_, _, err := c.ws.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			c.t.Fatalf("no close frame: %v", err)
		}
	}
}

func pingText(requestID string) string {
	return fmt.Sprintf(`{"commands":[{"request_id":%q,"ping":{}}]}`, requestID)
}

// Both ways of serving sockets: the loop, and the goroutines of TLS.
func bothWays(t *testing.T, test func(t *testing.T, w *world)) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "loop", true: "goroutines"}[secure], func(t *testing.T) {
			w := newWorld(t)
			w.tls = secure
			test(t, w)
		})
	}
}

func TestFramesAreReadHoweverTheyCome(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		g := w.gateway()
		t.Run("two in one segment", func(t *testing.T) {
			c := g.raw(t)
			c.write(append(clientFrame(final|textFrame, pingText("a")), clientFrame(final|textFrame, pingText("b"))...))
			c.pong("a")
			c.pong("b")
		})
		t.Run("one and a half, then the rest", func(t *testing.T) {
			c := g.raw(t)
			second := clientFrame(final|textFrame, pingText("b"))
			c.write(append(clientFrame(final|textFrame, pingText("a")), second[:9]...))
			c.pong("a")
			c.write(second[9:])
			c.pong("b")
		})
		t.Run("a byte at a time", func(t *testing.T) {
			c := g.raw(t)
			for _, b := range clientFrame(final|textFrame, pingText("a")) {
				c.write([]byte{b})
			}
			c.pong("a")
		})
		t.Run("in fragments around a ping", func(t *testing.T) {
			c := g.raw(t)
			ponged := make(chan string, 1)
			c.ws.SetPongHandler(func(text string) error {
				ponged <- text
				return nil
			})
			text := pingText("a")
			c.write(clientFrame(follows|textFrame, text[:10]), clientFrame(final|pingOpcode, "here"), clientFrame(follows, ""),
				clientFrame(final|pongOpcode, ""), clientFrame(final, text[10:]))
			c.pong("a")
			if got := <-ponged; got != "here" {
				t.Errorf("pong says %q", got)
			}
		})
		t.Run("the largest", func(t *testing.T) {
			c := g.raw(t)
			text := pingText("a")
			c.write(clientFrame(final|textFrame, text+strings.Repeat(" ", proto.MaxClientFrame-len(text))))
			c.pong("a")
		})
		t.Run("the largest in fragments", func(t *testing.T) {
			c := g.raw(t)
			for _, id := range []string{"a", "b"} { // each counts by itself
				text := pingText(id)
				c.write(clientFrame(follows|textFrame, text+strings.Repeat(" ", proto.MaxClientFrame-len(text)-9)), clientFrame(final, strings.Repeat(" ", 9)))
				c.pong(id)
			}
		})
	})
}

func TestBrokenProtocolIsToldAndEndsNobodyElse(t *testing.T) {
	unmasked := append([]byte{final | textFrame, 5}, "hello"...)
	fragment := clientFrame(follows|textFrame, strings.Repeat(" ", 9000))
	ways := []struct {
		name string
		code int
		send []byte
	}{
		{"unmasked", websocket.CloseProtocolError, unmasked},
		{"reserved bit 1", websocket.CloseProtocolError, clientFrame(final|0x40|textFrame, "x")},
		{"reserved bit 2", websocket.CloseProtocolError, clientFrame(final|0x20|textFrame, "x")},
		{"reserved bit 3", websocket.CloseProtocolError, clientFrame(final|0x10|textFrame, "x")},
		{"reserved opcode 3", websocket.CloseProtocolError, clientFrame(final|3, "x")},
		{"reserved opcode 11", websocket.CloseProtocolError, clientFrame(final|11, "x")},
		{"fragmented ping", websocket.CloseProtocolError, clientFrame(follows|pingOpcode, "x")},
		{"ping of 126 bytes", websocket.CloseProtocolError, clientFrame(final|pingOpcode, strings.Repeat("x", 126))},
		{"continuation of nothing", websocket.CloseProtocolError, clientFrame(final|follows, "x")},
		{"continuation of nothing that goes on", websocket.CloseProtocolError, clientFrame(follows, "x")},
		{"continuation of nothing, only its first bytes", websocket.CloseProtocolError, clientFrame(final|follows, "x")[:2]},
		{"continuation of what has ended", websocket.CloseProtocolError, append(clientFrame(final|textFrame, "{}"), clientFrame(follows, "x")...)},
		{"message inside a message", websocket.CloseProtocolError, append(clientFrame(follows|textFrame, "x"), clientFrame(final|textFrame, "y")...)},
		{"message inside a message that goes on", websocket.CloseProtocolError, append(clientFrame(follows|textFrame, "x"), clientFrame(follows|binFrame, "y")...)},
		{"message inside a message behind a ping", websocket.CloseProtocolError, slices.Concat(clientFrame(follows|textFrame, "x"), clientFrame(final|pingOpcode, ""), clientFrame(follows|textFrame, "y"))},
		{"not UTF-8", websocket.CloseInvalidFramePayloadData, clientFrame(final|textFrame, "{\xff}")},
		{"close code that nobody may send", websocket.CloseProtocolError, clientFrame(final|endOpcode, "\x03\xed")},
		{"close text that is not UTF-8", websocket.CloseProtocolError, clientFrame(final|endOpcode, "\x03\xe8\xff")},
		{"too large", websocket.CloseMessageTooBig, clientFrame(final|textFrame, strings.Repeat(" ", proto.MaxClientFrame+1))},
		{"too large, only its header", websocket.CloseMessageTooBig, clientFrame(final|textFrame, strings.Repeat(" ", 1<<17))[:14]},
		{"too large by its fragments", websocket.CloseMessageTooBig, append(fragment, clientFrame(final, strings.Repeat(" ", 9000))...)},
		{"a length beyond 2^63", websocket.CloseMessageTooBig, append([]byte{final | textFrame, 0x80 | 127}, bytes.Repeat([]byte{0xff}, 12)...)},
		{"a farewell", websocket.CloseNormalClosure, clientFrame(final|endOpcode, "\x03\xe8")},
		{"a farewell without code", websocket.CloseNoStatusReceived, clientFrame(final|endOpcode, "")},
		{"a farewell inside a message", websocket.CloseGoingAway, append(clientFrame(follows|textFrame, "x"), clientFrame(final|endOpcode, "\x03\xe9")...)},
	}
	bothWays(t, func(t *testing.T, w *world) {
		g := w.gateway()
		good := g.raw(t)
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				c := g.raw(t)
				c.write(way.send)
				if code := c.code(); code != way.code {
					t.Errorf("closed with %d, want %d", code, way.code)
				}
			})
		}
		eventually(t, "they are gone", func() bool { return len(g.all()) == 1 })
		good.write(clientFrame(final|textFrame, pingText("still here")))
		good.pong("still here")
	})
}

func TestEndlessFragmentsAreRefused(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		c := w.gateway().raw(t)
		empty := bytes.Repeat(clientFrame(follows, ""), maxFragments/6+2)
		c.write(clientFrame(follows|textFrame, ""), empty)
		if w.tls {
			// gorilla itself bounds only bytes there, and the message goes on.
			c.write(clientFrame(final, pingText("a")))
			c.pong("a")
			return
		}
		if code := c.code(); code != websocket.ClosePolicyViolation {
			t.Errorf("closed with %d", code)
		}
	})
}

// What is held is counted by its length, so that a large buffer for little of it would count as little.
func TestHeldBytesTakeAboutWhatTheyCount(t *testing.T) {
	reader, err := newFrameReader()
	if err != nil {
		t.Fatal(err)
	}
	s, a := loneShard(t, GatewayConfig{})
	reader.wire.owner = seat(s, a, new(takesAll))
	var in intake
	buf := make([]byte, intakeBuffer)
	take := func(more []byte) {
		t.Helper()
		held := in.fill(buf)
		if err := in.take(reader, buf[:held+copy(buf[held:], more)], func(int, []byte) {}); err != nil {
			t.Fatal(err)
		}
		if cap(in.held) > max(keepHeld, 2*len(in.held)) {
			t.Errorf("holds %d bytes in a buffer of %d", len(in.held), cap(in.held))
		}
	}
	take(clientFrame(follows|binFrame, strings.Repeat(" ", proto.MaxClientFrame-100)))
	for range 100 {
		take(clientFrame(follows, "x"))
	}
	next := clientFrame(final|binFrame, "y")
	take(append(clientFrame(final, ""), next[:1]...))
	take(next[1:])
	if in.held != nil {
		t.Errorf("a buffer of %d is kept for nothing", cap(in.held))
	}
}

func TestControlFramesOfOneReadingAreBounded(t *testing.T) {
	reader, err := newFrameReader()
	if err != nil {
		t.Fatal(err)
	}
	s, a := loneShard(t, GatewayConfig{})
	reader.wire.owner = seat(s, a, new(takesAll))
	ping := clientFrame(final|pingOpcode, "")
	begun := clientFrame(follows|textFrame, "x")
	var in intake
	if err := in.take(reader, append(begun, bytes.Repeat(ping, maxControls)...), nil); err != nil {
		t.Fatalf("as many as are taken: %v", err)
	}
	if !bytes.Equal(in.held, begun) {
		t.Errorf("holds %x of the message", in.held)
	}
	buf := append(bytes.Clone(in.held), bytes.Repeat(ping, maxControls+1)...)
	if err := in.take(reader, buf, nil); !errors.Is(err, errManyControls) {
		t.Errorf("one more: %v", err)
	}
}

// A crowd that begins messages and does not end them takes no goroutine each and holds nobody up.
func TestSlowLorisCrowd(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	good := g.raw(t)
	good.write(clientFrame(final|textFrame, pingText("before")))
	good.pong("before")
	before := runtime.NumGoroutine()
	half := clientFrame(final|textFrame, strings.Repeat(" ", 1000))[:500]
	var crowd []*rawClient
	for range 200 {
		c := g.raw(t)
		c.write(half)
		crowd = append(crowd, c)
	}
	eventually(t, "all halves are held", func() bool {
		held := 0
		for _, s := range g.shards {
			s.mu.Lock()
			held += s.held
			s.mu.Unlock()
		}
		return held == len(crowd)*len(half)
	})
	// The test's own side of a connection has none, and the gateway's neither.
	eventually(t, "no goroutine is left for them", func() bool { return runtime.NumGoroutine() <= before+len(crowd)/10 })
	good.write(clientFrame(final|textFrame, pingText("after")))
	good.pong("after")
	for _, s := range g.shards {
		s.sweep(time.Now().Add(MessageTimeout))
	}
	for _, c := range crowd {
		if code := c.code(); code != websocket.ClosePolicyViolation {
			t.Fatalf("closed with %d", code)
		}
	}
	good.write(clientFrame(final|textFrame, pingText("alive")))
	good.pong("alive")
	eventually(t, "nothing is held", func() bool { return len(g.all()) == 1 })
	for _, s := range g.shards {
		if s.mu.Lock(); s.held != 0 {
			t.Errorf("%d bytes are counted", s.held)
		}
		s.mu.Unlock()
	}
}

// Clients vanish in every way at every moment, while the room is busy; the others feel nothing and
// nothing is left of them.
func TestClientsVanish(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		g := w.gateway(func(cfg *GatewayConfig) { cfg.RoomTick = time.Millisecond })
		good := g.dial(t, dial{})
		good.welcome()
		sent := 0
		say := func() {
			sent++
			w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, pad))
		}
		for n := range 120 {
			c := g.raw(t)
			if n%2 == 0 {
				c.write(clientFrame(final|textFrame, pingText("a"))[:n%40+1])
			}
			say()
			switch conn := plain(c.conn); n % 4 {
			case 0:
				_ = conn.SetLinger(0) // a reset
				conn.Close()
			case 1:
				conn.Close()
			case 2:
				_ = conn.CloseWrite()
			case 3:
				c.write(clientFrame(final|endOpcode, "\x03\xe9"))
				conn.Close()
			}
		}
		good.until("every comment", func(frames []*proto.ServerFrame) bool {
			n := 0
			for _, f := range frames {
				n += len(texts(f.Events)) + int(f.Skipped)
			}
			return n == sent
		})
		eventually(t, "all others are gone", func() bool { return len(g.all()) == 1 && g.open.Load() == 1 })
	})
}

// plain is the TCP connection under a client's.
func plain(conn net.Conn) *net.TCPConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*net.TCPConn)
}
