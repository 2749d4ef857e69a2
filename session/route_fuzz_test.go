package session

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"livecart/proto"
)

// loneConn is a connection without a socket, in a room of its own; what it is told waits in its queue.
func loneConn(t testing.TB, f proto.Format) *Conn {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwt.key")
	if err := os.WriteFile(file, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	tickets, err := NewTickets(TicketConfig{KeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	close(ended)
	echo := func(_ context.Context, c Call) (*proto.Ok, error) {
		return &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: &proto.ChatMessage{Text: c.Command.GetChatSend().GetText()}}}, nil
	}
	g := &Gateway{
		cfg: GatewayConfig{
			Tickets: tickets, Presence: &Presence{stopped: ended}, Log: slog.New(slog.DiscardHandler),
			Routes:       map[string]Route{"chat_send": {Handle: echo, Ordered: true}, "wallet_get": {Handle: echo}, "flash_stop": {Handle: echo, Access: Hosts}},
			CommandRate:  1e6,
			CommandBurst: 1e6,
		},
		metrics: m, roster: newRoster(8, 5), work: t.Context(),
	}
	g.cfg.setDefaults()
	g.resumes = rate.NewLimiter(rate.Inf, 1)
	// It does not run: what is posted waits in it.
	s := &shard{gw: g, wake: make(chan struct{}, 1)}
	g.hub = newHub(&g.cfg, m, []*shard{s})
	room := newAudience(g.hub, "demo")
	room.setSnapshot(newSnapshot(&proto.SessionWelcome{Seq: 3, Room: &proto.Room{Id: "demo"}}))
	c := newConn(g, room, s, Viewer{ID: "vera", Role: proto.Role_ROLE_VIEWER, Rooms: []string{AllRooms}}, f, time.Now())
	c.section = &room.sections[0]
	return c
}

// payloadOf returns what is behind the header of a message's frame.
func payloadOf(m *message) []byte {
	switch m.bytes[1] {
	case 126:
		return m.bytes[4:]
	case 127:
		return m.bytes[10:]
	}
	return m.bytes[2:]
}

// Whatever a client sends, each command is answered once under its request_id, a frame that is no
// frame once under none.
func FuzzReceive(f *testing.F) {
	for _, text := range []string{
		`{"commands":[{"request_id":"r","chat_send":{"text":"hi"}},{"request_id":"s","ping":{}}]}`,
		`{"commands":[{"request_id":"r","session_resume":{"after_seq":"-1"}},{"like_send":{"count":5}}]}`,
		`{"commands":[{"request_id":"r","session_refresh":{"token":"a.b.c"}},{"request_id":"f","flash_stop":{}}]}`,
		`{"commands":[{"request_id":"r","later":{}},{"wallet_get":{}}]}`,
		`{"commands":[`, `{}`, `null`, ``,
	} {
		f.Add(true, []byte(text))
		frame := new(proto.ClientFrame)
		if proto.Decode(proto.JSON, []byte(text), frame) == nil {
			data, err := proto.Encode(proto.Binary, frame)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(false, data)
		}
	}
	conns := [proto.Formats]*Conn{loneConn(f, proto.Binary), loneConn(f, proto.JSON)}
	f.Fuzz(func(t *testing.T, json bool, data []byte) {
		c := conns[proto.Binary]
		if json {
			c = conns[proto.JSON]
		}
		want := make(map[string]int)
		frame, err := proto.DecodeClient(c.format, data)
		if err != nil {
			want[""]++
		}
		for _, cmd := range frame.GetCommands() {
			want[cmd.GetRequestId()]++
		}
		c.receive(data)
		eventually(t, "all commands end", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.running == 0
		})
		c.shard.walkAll()
		for w := c.queue.next(); w.own != nil || w.msg != nil; w = c.queue.next() {
			if w.own == nil {
				w.own = new(proto.ServerFrame)
				if err := proto.Decode(c.format, payloadOf(w.msg), w.own); err != nil {
					t.Fatalf("an answer is garbled: %v", err)
				}
			}
			for _, r := range w.own.Replies {
				want[r.RequestId]--
				if (r.GetOk() == nil) == (r.GetError() == nil) {
					t.Errorf("reply %v is neither or both", r)
				}
			}
			if _, err := encodeMessage(c.format, w.own); err != nil {
				t.Errorf("the answer cannot be sent: %v", err)
			}
		}
		for id, n := range want {
			if n != 0 {
				t.Errorf("%d answers too few for %q", n, id)
			}
		}
	})
}
