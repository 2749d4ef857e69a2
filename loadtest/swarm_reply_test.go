package loadtest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

func TestSwarmReplies(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		var mu sync.Mutex
		var held []*proto.Command
		g := serve(t, func(g *gateway) {
			g.answer = func(c *socket, cmd *proto.Command) {
				mu.Lock()
				defer mu.Unlock()
				switch held = append(held, cmd); len(held) {
				case 3: // one stays without answer
					c.no(held[2], proto.ReasonSoldOut)
					c.ok(held[0], nil)
				case 4:
					c.ok(cmd, nil)
				}
			}
		})
		cfg := g.config()
		s.mustJoin(0, cfg)
		cfg.ReplyTimeout = 300 * time.Millisecond
		s.mustJoin(1, cfg)
		type outcome struct {
			id    string
			reply *proto.Reply
			err   error
		}
		outcomes := make(chan outcome, 3)
		for range 3 {
			cmd := ping()
			s.Send(1, cmd, func(r *proto.Reply, err error) { outcomes <- outcome{cmd.RequestId, r, err} })
		}
		got := map[string]int{}
		for range 3 {
			switch o := <-outcomes; {
			case errors.Is(o.err, ErrNoReply) && strings.HasPrefix(o.err.Error(), "ping: "):
				got["none"]++
			case o.err != nil:
				t.Error(o.err)
			case o.reply.RequestId != o.id:
				t.Errorf("%q got the reply to %q", o.id, o.reply.RequestId)
			case o.reply.GetError().GetReason() == string(proto.ReasonSoldOut):
				got["refused"]++
			case o.reply.GetOk() != nil:
				got["ok"]++
			}
		}
		if got["none"] != 1 || got["ok"] != 1 || got["refused"] != 1 {
			t.Errorf("%v", got)
		}
		s.Send(0, &proto.Command{Command: ping().Command}, nil)
		s.await("the answer to nobody", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 4 })
	})
}

// Two commands of one request_id that are under way together each get a reply.
func TestSwarmSameRequestTwice(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
		g := serve(t, func(g *gateway) { g.answer = func(c *socket, cmd *proto.Command) { c.ok(cmd, nil) } })
		s.mustJoin(0, g.config())
		replies := make(chan error, 2)
		for range 2 {
			cmd := ping()
			cmd.RequestId = "same"
			s.Send(0, cmd, func(_ *proto.Reply, err error) { replies <- err })
		}
		for range 2 {
			if err := <-replies; err != nil {
				t.Error(err)
			}
		}
	})
}

// A server that does not read must stop neither the caller nor other viewers; what was sent arrives
// when it reads again.
func TestSwarmSlowServer(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		release := make(chan struct{})
		g := serve(t, func(g *gateway) {
			g.answer = func(c *socket, cmd *proto.Command) {
				if cmd.GetChatSend() != nil {
					<-release
				}
				c.ok(cmd, nil)
			}
		})
		for i := range 2 {
			s.mustJoin(i, g.config())
		}
		const n = 1500 // of 12 kB: more than two socket buffers and what may wait
		outcomes := make(chan error, n)
		for range n {
			s.Send(0, &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: strings.Repeat("a", 12000)}}},
				func(_ *proto.Reply, err error) { outcomes <- err })
		}
		if _, err := s.do(1, ping()); err != nil {
			t.Errorf("another viewer: %v", err)
		}
		close(release)
		answered, full := 0, 0
		for range n {
			switch err := <-outcomes; {
			case err == nil:
				answered++
			case errors.Is(err, ErrFull):
				full++
			default:
				t.Fatal(err)
			}
		}
		t.Logf("%d answered, %d not sent", answered, full)
		if answered == 0 {
			t.Error("nothing was answered")
		}
		if _, err := s.do(0, ping()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
