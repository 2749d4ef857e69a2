package session

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"livecart/proto"
)

// takesAll is a socket without an end.
type takesAll struct{ bytes, writes int }

func (s *takesAll) write(p []byte) (int, error) {
	s.bytes += len(p)
	s.writes++
	return len(p), nil
}

func (*takesAll) writeLater(*Conn) bool { return false }

func (*takesAll) endWrites() {}
func (*takesAll) close()     {}

// narrow is a socket that takes as many bytes as it was granted.
type narrow struct {
	got    []byte
	grant  int
	closed bool
}

func (s *narrow) write(p []byte) (int, error) {
	if s.closed {
		panic("a closed socket is written to")
	}
	n := min(s.grant, len(p))
	s.grant -= n
	s.got = append(s.got, p[:n]...)
	return n, nil
}

func (*narrow) writeLater(*Conn) bool { return false }

func (*narrow) endWrites() {}
func (s *narrow) close()   { s.closed = true }

// open has c take so many bytes more.
func (s *narrow) open(c *Conn, n int) {
	s.grant += n
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.queue.stuck {
		c.writable(nil)
	}
}

// loneShard is a shard that does not run, with a room.
func loneShard(t interface{ Fatal(...any) }, cfg GatewayConfig) (*shard, *audience) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.setDefaults()
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	g := &Gateway{cfg: cfg, metrics: m}
	s := &shard{gw: g, wake: make(chan struct{}, 1), maxBacklog: cfg.BacklogBytes}
	g.shards = []*shard{s}
	g.hub = newHub(&g.cfg, m, g.shards)
	return s, newAudience(g.hub, "demo")
}

// seat makes a connection of the shard's, with a socket.
func seat(s *shard, a *audience, sock socket) *Conn {
	c := newConn(s.gw, a, s, Viewer{ID: "vera", Anonymous: true}, proto.Binary, time.Now())
	a.admit(c, func() {})
	s.mu.Lock()
	defer s.mu.Unlock()
	c.begin(sock, nil)
	return c
}

// flushTo is a flush of b for all of the room's viewers on one shard.
func flushTo(a *audience, b *broadcast) post {
	a.newest++
	f := &flush{number: a.newest}
	for i := range f.portions {
		f.portions[i] = []portion{{broadcast: b}}
	}
	f.walking.Store(1)
	return post{room: a, flush: f}
}

// walkAll does all that was posted, in place of run.
func (s *shard) walkAll() {
	for s.takeIn(); len(s.walks) > 0; s.walkOn() {
	}
}

// streamed are the frames that a client reads from data, and what it says at its end.
type streamed struct {
	frames       []*proto.ServerFrame
	pings, close int
}

// readStream takes the bytes of one connection apart. They must be whole frames, none after a close frame.
func readStream(t interface{ Fatalf(string, ...any) }, data []byte) (s streamed) {
	for len(data) > 0 {
		if s.close != 0 {
			t.Fatalf("%d bytes follow the close frame", len(data))
		}
		if len(data) < 2 || data[0]&0x80 == 0 || data[1]&0x80 != 0 {
			t.Fatalf("no frame of a server begins with %x", data[:min(2, len(data))])
		}
		kind, size, at := int(data[0]&0xf), int(data[1]), 2
		if size == 126 {
			size, at = int(data[2])<<8|int(data[3]), 4
		}
		if size > 1<<16 || len(data) < at+size {
			t.Fatalf("a frame of %d bytes in a stream of %d", size, len(data))
		}
		payload := data[at : at+size]
		data = data[at+size:]
		switch kind {
		case websocket.PingMessage:
			s.pings++
		case websocket.CloseMessage:
			if s.close = websocket.CloseNoStatusReceived; size > 0 {
				s.close = int(payload[0])<<8 | int(payload[1])
			}
		case websocket.BinaryMessage:
			frame := new(proto.ServerFrame)
			if err := proto.Decode(proto.Binary, payload, frame); err != nil {
				t.Fatalf("a frame is garbled: %v", err)
			}
			s.frames = append(s.frames, frame)
		default:
			t.Fatalf("a frame of kind %d", kind)
		}
	}
	return s
}

// count returns the number of the last event and of the last reply, which must come in order, after a
// number and from 1 on, and how many comments there are, were skipped and sampled.
func (s streamed) count(t interface{ Fatalf(string, ...any) }, after int64) (seq int64, reply, chats, skipped, sampled int) {
	seq = after
	for _, f := range s.frames {
		skipped, sampled = skipped+int(f.Skipped), sampled+int(f.Sampled)
		for _, ev := range f.Events {
			switch {
			case ev.GetChatMessage() != nil:
				chats++
			case ev.Seq != seq+1:
				t.Fatalf("event %d follows %d", ev.Seq, seq)
			default:
				seq = ev.Seq
			}
		}
		for _, r := range f.Replies {
			if reply++; r.RequestId != fmt.Sprint(reply) {
				t.Fatalf("reply %s is number %d", r.RequestId, reply)
			}
		}
	}
	return seq, reply, chats, skipped, sampled
}

// Whatever the socket takes at a time: the client reads whole frames, what may not be dropped comes in
// order and once, every comment is there or told as skipped, and nothing follows the close frame.
func TestConnectionIsAStreamOfWholeFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, a := loneShard(t, GatewayConfig{QueueBytes: rapid.IntRange(300, 6000).Draw(t, "queue")})
		sock := new(narrow)
		c := seat(s, a, sock)
		c.queue.spare = rapid.SampledFrom([]int{0, c.queue.limit / 4}).Draw(t, "spare")
		comments, sampledIn, states, replies := 0, 0, 0, 0
		ended := 0
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if c.over() {
				break
			}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3:
				chats, sampled := rapid.IntRange(0, 12).Draw(t, "chats"), rapid.IntRange(0, 5).Draw(t, "sampled")
				var others []*proto.Event
				if rapid.Bool().Draw(t, "state") || chats+sampled == 0 {
					states++
					others = append(others, pin(int64(states)))
				}
				comments, sampledIn = comments+chats, sampledIn+sampled
				b := flushOf(t, chats, sampled, others...)
				s.post(flushTo(a, b))
				s.walkAll()
			case 4:
				replies++
				c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: fmt.Sprint(replies)}}})
			case 5:
				c.sendControl(pingFrame)
			case 6, 7, 8:
				sock.open(c, rapid.IntRange(1, 3000).Draw(t, "bytes"))
			case 9:
				if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
					ended = CloseReplaced
					c.shut(ended, "replaced")
				}
			}
			if s.backlog < 0 || s.backlog > c.queue.limit+1<<16 {
				t.Fatalf("the shard counts %d bytes that wait", s.backlog)
			}
		}
		slow := c.over() && ended == 0
		sock.open(c, 1<<30)
		got := readStream(t, sock.got)
		seq, reply, chats, told, sampledOut := got.count(t, 0)
		if slow {
			if got.close != CloseSlowConsumer {
				t.Fatalf("closed with %d", got.close)
			}
			return // what had waited is lost
		}
		if got.close != ended || int(seq) != states || reply != replies || chats+told != comments || sampledOut != sampledIn {
			t.Fatalf("closed with %d (%d); %d of %d events, %d of %d replies, %d comments and %d skipped of %d, %d of %d sampled",
				got.close, ended, seq, states, reply, replies, chats, told, comments, sampledOut, sampledIn)
		}
		if s.backlog != 0 {
			t.Fatalf("%d bytes are said to wait, and none do", s.backlog)
		}
	})
}

// What a full socket did not take of the answer to a handshake and of the welcome is kept while others
// come.
func TestHalfAWelcomeIsNotWrittenOver(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	join := func(sock *narrow, said string) *Conn {
		c := newConn(s.gw, a, s, Viewer{ID: "vera", Anonymous: true}, proto.Binary, time.Now())
		a.admit(c, func() { c.queue.pushMessage(&message{bytes: []byte(" welcome " + said), size: 10}) })
		s.mu.Lock()
		defer s.mu.Unlock()
		c.begin(sock, []byte("answer "+said))
		return c
	}
	first, second := &narrow{grant: 3}, &narrow{grant: 1 << 10}
	c := join(first, "one")
	join(second, "two")
	first.open(c, 1<<10)
	if got := string(first.got); got != "answer one welcome one" {
		t.Errorf("the first was told %q", got)
	}
	if got := string(second.got); got != "answer two welcome two" {
		t.Errorf("the second was told %q", got)
	}
}

// A client's close frame is answered with its code, and nothing that comes before the reading is over
// follows the answer.
func TestNothingFollowsTheAnswerToACloseFrame(t *testing.T) {
	for payload, code := range map[string]int{"": websocket.CloseNoStatusReceived, "\x03\xe8": websocket.CloseNormalClosure} {
		s, a := loneShard(t, GatewayConfig{})
		sock := &narrow{grant: 1 << 20}
		c := seat(s, a, sock)
		reader, err := newFrameReader()
		if err != nil {
			t.Fatal(err)
		}
		reader.wire.owner = c
		c.beginReading()
		err = c.in.take(reader, clientFrame(final|endOpcode, payload), nil)
		c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "late"}}})
		c.endReading(0, false)
		c.readEnded(err)
		if got := readStream(t, sock.got); got.close != code || len(got.frames) > 0 {
			t.Errorf("%q is answered with %d and %d frames", payload, got.close, len(got.frames))
		}
	}
}

// A client that answers our close frame need not be waited for.
func TestAnswerToACloseFrameClosesTheSocket(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	sock := &narrow{grant: 1 << 10}
	c := seat(s, a, sock)
	c.shut(CloseReplaced, "replaced")
	if got := readStream(t, sock.got); got.close != CloseReplaced || sock.closed {
		t.Fatalf("told %d, closed %v", got.close, sock.closed)
	}
	c.readEnded(&websocket.CloseError{Code: CloseReplaced})
	if !sock.closed {
		t.Error("it waits on")
	}
}

// Connections come and go between the steps of a walk: each of those that stay gets the flush once.
func TestWalkMissesNobodyWhileOthersLeave(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	socks := make(map[*Conn]*narrow)
	join := func() *Conn {
		sock := &narrow{grant: 1 << 30}
		c := seat(s, a, sock)
		socks[c] = sock
		return c
	}
	var stay, leave []*Conn
	for n := range 20 * walkStep {
		if c := join(); n%3 == 0 {
			leave = append(leave, c)
		} else {
			stay = append(stay, c)
		}
	}
	s.post(flushTo(a, flushOf(t, 1, 0)))
	var late []*Conn
	for s.takeIn(); len(s.walks) > 0; s.walkOn() {
		// Of those at the row's begin, which the walk has still to come to, and of those at its end.
		for range 7 {
			leave[0].shutAtOnce()
			leave[len(leave)-1].shutAtOnce()
			leave = leave[1 : len(leave)-1]
		}
		late = append(late, join())
	}
	for _, c := range append(stay, leave...) {
		if got := readStream(t, socks[c].got); len(got.frames) != 1 {
			t.Fatalf("the flush came %d times", len(got.frames))
		}
	}
	for _, c := range late {
		if len(socks[c].got) != 0 {
			t.Fatal("who enters with a flush in the welcome gets it again")
		}
	}
	inRows := 0
	for _, r := range a.rows[0] {
		inRows += len(r.conns)
	}
	if want := len(stay) + len(leave) + len(late); len(s.conns) != want || inRows != want {
		t.Errorf("%d connections in %d places of the rows, want %d", len(s.conns), inRows, want)
	}
}

// A room with very many viewers takes turns with the others, and what must not overtake it does not.
func TestLargeRoomHoldsNoOtherOneUp(t *testing.T) {
	s, large := loneShard(t, GatewayConfig{})
	small := newAudience(s.gw.hub, "small")
	for range 10 * walkStep {
		seat(s, large, new(takesAll))
	}
	first := &narrow{grant: 1 << 20}
	last := large.rows[0][sections-1].conns[0] // of the walk
	last.sock = first
	one := &narrow{grant: 1 << 20}
	seat(s, small, one)
	s.post(flushTo(large, flushOf(t, 1, 0)))
	s.post(flushTo(small, flushOf(t, 1, 0)))
	s.post(post{conn: last, answer: newLateMessage(proto.Binary, &proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "later"}}})})
	s.takeIn()
	for range 2 {
		s.walkOn()
	}
	if len(readStream(t, one.got).frames) != 1 || len(first.got) != 0 {
		t.Errorf("after two steps the small room has %d bytes, the end of the large one %d", len(one.got), len(first.got))
	}
	s.walkAll()
	if got := readStream(t, first.got).frames; len(got) != 2 || len(got[0].Events) != 1 || len(got[1].Replies) != 1 {
		t.Errorf("the last viewer of the large room got %v", got)
	}
}

func TestViewersWhoAreBehindShareTheBacklog(t *testing.T) {
	b := flushOf(t, 0, 0, pin(1))
	each := b.whole[proto.Binary].size
	s, a := loneShard(t, GatewayConfig{BacklogBytes: 10 * each})
	var conns []*Conn
	for range 10 {
		conns = append(conns, seat(s, a, new(narrow)))
	}
	good := seat(s, a, new(takesAll))
	flush := func() {
		s.post(flushTo(a, flushOf(t, 0, 0, pin(1))))
		s.walkAll()
	}
	flush()
	if s.backlog != 10*each {
		t.Fatalf("%d bytes wait, want %d", s.backlog, 10*each)
	}
	for _, c := range conns {
		if c.over() {
			t.Fatal("closed with room left")
		}
	}
	flush()
	closed := 0
	for _, c := range conns {
		if c.over() {
			closed++
		}
	}
	if closed == 0 || s.backlog > 11*each {
		t.Errorf("%d are closed, %d bytes wait of at most %d", closed, s.backlog, 10*each)
	}
	if good.over() {
		t.Error("who keeps up pays for the others")
	}
}

// A viewer who goes while it is behind leaves nothing of the backlog to the others.
func TestWhoLeavesTakesItsBacklogAlong(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	c := seat(s, a, new(narrow))
	for range 3 {
		c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "waits"}}})
	}
	if s.backlog == 0 {
		t.Fatal("what waits does not count")
	}
	c.shutAtOnce()
	if s.backlog != 0 {
		t.Errorf("%d bytes count for nobody", s.backlog)
	}
}

// What a reading has queued is written at its end, and counts no more.
func TestAnswersThatWereWrittenDoNotCount(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	c := seat(s, a, new(takesAll))
	c.beginReading()
	for range 1000 {
		c.sendControl(pingFrame)
	}
	if s.backlog == 0 {
		t.Error("what waits for the end of a reading counts nothing")
	}
	c.endReading(0, true)
	if s.backlog != 0 {
		t.Errorf("%d bytes count", s.backlog)
	}
	// An ending that loses what waits, too.
	behind := seat(s, a, new(narrow))
	behind.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "a"}}})
	behind.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "b"}}})
	before := s.backlog
	s.mu.Lock()
	behind.finish(ending{code: CloseSlowConsumer})
	s.mu.Unlock()
	if s.backlog >= before {
		t.Errorf("%d bytes count after the end, %d before", s.backlog, before)
	}
}

func TestPingsAreSpreadAndNotForWhoWasHeard(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{PingInterval: 20 * time.Second, IdleTimeout: time.Hour})
	first := make(map[time.Duration]bool)
	for range 50 {
		c := seat(s, a, new(takesAll))
		first[time.Until(c.pingAt).Round(time.Millisecond)] = true
		if wait := time.Until(c.pingAt); wait < 9*time.Second || wait > 20*time.Second {
			t.Errorf("first ping after %v", wait)
		}
	}
	if len(first) < 25 {
		t.Errorf("the first pings of 50 viewers come at %d moments", len(first))
	}
	sock := &narrow{grant: 1 << 20}
	c := seat(s, a, sock)
	now := c.pingAt
	c.lastRead.Store(now.Add(-time.Second).UnixNano())
	s.sweep(now)
	if len(sock.got) != 0 {
		t.Error("who said something a second ago is pinged")
	}
	s.sweep(now.Add(19 * time.Second))
	if !bytes.Equal(sock.got, pingFrame) {
		t.Errorf("a ping interval after its last word it got %x", sock.got)
	}
}

func TestMessageThatDoesNotEndIsRefused(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	sock := &narrow{grant: 1 << 20}
	c := seat(s, a, sock)
	c.beginReading()
	c.endReading(100, false)
	began := c.heldUntil.Add(-MessageTimeout)
	if s.held != 100 {
		t.Errorf("the shard counts %d bytes", s.held)
	}
	// More of it does not give it more time.
	c.beginReading()
	c.endReading(200, false)
	s.sweep(began.Add(MessageTimeout - time.Millisecond))
	if c.over() {
		t.Fatal("closed before its time")
	}
	s.sweep(began.Add(MessageTimeout))
	if got := readStream(t, sock.got); got.close != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", got.close)
	}
	s.sweep(time.Now().Add(closeWait + time.Second))
	if !sock.closed || s.held != 0 {
		t.Errorf("socket closed %v, %d bytes counted", sock.closed, s.held)
	}
}

func TestMessageThatCannotBeWrittenInTimeClosesTheConnection(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{WriteTimeout: 10 * time.Second, PingInterval: time.Hour, IdleTimeout: 2 * time.Hour})
	sock := new(narrow)
	c := seat(s, a, sock)
	c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "first"}}})
	stuck := c.stuckAt
	if stuck.IsZero() {
		t.Fatal("a full socket is not noticed")
	}
	// A byte now and then is not a message.
	for range 5 {
		sock.open(c, 1)
	}
	s.sweep(stuck.Add(10*time.Second - time.Millisecond))
	if c.over() || !c.stuckAt.Equal(stuck) {
		t.Fatalf("over %v, waits since %v", c.over(), c.stuckAt)
	}
	s.sweep(stuck.Add(10 * time.Second))
	if !c.over() {
		t.Error("it waits on")
	}
	// Whole messages in time are, however many wait behind them.
	other := new(narrow)
	c = seat(s, a, other)
	for n := range 5 {
		c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: fmt.Sprint(n)}}})
		c.sendControl(pingFrame)
	}
	for range 20 {
		was := c.stuckAt
		other.open(c, 11)
		if c.stuckAt.Equal(was) && !was.IsZero() {
			t.Fatal("a message was written, and the wait goes on")
		}
	}
}

func TestHeldMessagesAreBoundedForAll(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	c, last := seat(s, a, new(takesAll)), seat(s, a, new(takesAll))
	c.endReading(maxHeldTotal, false)
	if c.over() {
		t.Fatal("closed at the bound")
	}
	last.endReading(1, false)
	if !last.over() || c.over() {
		t.Errorf("one byte more closes the one who sent it: %v, and nobody else: %v", last.over(), !c.over())
	}
}

// A handshake may stall before the gateway knows the connection, which its shard drops meanwhile.
func TestConnectionIsForgottenWheneverItIsDropped(t *testing.T) {
	for _, tc := range []struct {
		name  string
		early bool
	}{{"before it is known", true}, {"after", false}} {
		t.Run(tc.name, func(t *testing.T) {
			s, a := loneShard(t, GatewayConfig{Presence: new(Presence)})
			g := s.gw
			g.roster, g.selves, g.phase = newRoster(8, 5), newSelfReader(&g.cfg), running
			g.open.Add(1)
			if !g.admit() {
				t.Fatal("not admitted")
			}
			c := newConn(g, a, s, Viewer{ID: "vera"}, proto.Binary, time.Now())
			a.admit(c, func() {})
			if tc.early {
				c.shutAtOnce()
				s.bury()
			}
			g.entered(c)
			if !tc.early {
				if s.bury(); len(g.roster.connsOf("vera")) != 1 || a.online != 1 || g.cfg.Presence.rooms.find("demo").online != 1 {
					t.Error("an open connection is not known")
				}
				c.shutAtOnce()
			}
			s.bury()
			if n := len(g.roster.connsOf("vera")); n != 0 {
				t.Errorf("the roster has %d connections", n)
			}
			if n := g.cfg.Presence.rooms.find("demo").online; n != 0 {
				t.Errorf("presence counts %d", n)
			}
			if a.online != 0 || g.open.Load() != 0 {
				t.Errorf("the room counts %d, the gateway %d", a.online, g.open.Load())
			}
		})
	}
}
