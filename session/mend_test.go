package session

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/stack"
)

// stalling is a snapshot part that stops in the middle of a reading when told to.
type stalling struct {
	on               atomic.Bool
	entered, release chan struct{}
}

func stall(cfg *GatewayConfig) *stalling {
	s := &stalling{entered: make(chan struct{}), release: make(chan struct{})}
	cfg.Snapshots = append(cfg.Snapshots, func(ctx context.Context, _ pgx.Tx, _ string, _ *proto.SessionWelcome) error {
		if s.on.CompareAndSwap(true, false) {
			close(s.entered)
			return wait(ctx, s.release)
		}
		return nil
	})
	return s
}

func TestFlushesDoNotWaitForPostgres(t *testing.T) {
	w := newWorld(t)
	var s *stalling
	g := w.gateway(func(cfg *GatewayConfig) { s = stall(cfg) })
	c := g.dial(t, dial{})
	c.event("room_stats", func(ev *proto.Event) bool { return ev.GetRoomStats().Online == 1 }) // not again for 10 s
	s.on.Store(true)
	g.hub.find("demo").relinked()
	<-s.entered
	begun := time.Now()
	// The first finds the room idle, the others wait for its tick.
	for n := range 3 {
		w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(n)))
	}
	c.event("chat_message", func(ev *proto.Event) bool { return ev.GetChatMessage().Text == "2" })
	if waited := time.Since(begun); waited > statsRepeat/2 {
		t.Errorf("the last comment waited %v", waited)
	}
	close(s.release)
}

func TestCommentDuringAReadingIsInTheNewSnapshot(t *testing.T) {
	w := newWorld(t)
	var s *stalling
	g := w.gateway(func(cfg *GatewayConfig) { s = stall(cfg) })
	c := g.dial(t, dial{})
	before := c.welcome()
	s.on.Store(true)
	a := g.hub.find("demo")
	snap := a.snap
	a.relinked()
	<-s.entered
	w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, "meanwhile"))
	c.event("chat_message", nil)
	close(s.release)
	eventually(t, "the snapshot is new", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.snap != snap
	})
	late := g.dial(t, dial{}).welcome()
	if len(before.Comments) != 0 || len(late.Comments) != 1 || late.Comments[0].Text != "meanwhile" {
		t.Errorf("a late viewer is shown %v", late.Comments)
	}
}

func TestPrunedEventsAreMadeUpForByReadingTheRoom(t *testing.T) {
	w := newWorld(t)
	reads := atomic.Int32{}
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Snapshots = append(cfg.Snapshots, func(_ context.Context, _ pgx.Tx, _ string, w *proto.SessionWelcome) error {
			w.ShelfTotal = reads.Add(1)
			return nil
		})
	})
	c := g.dial(t, dial{})
	c.welcome()
	_, err := w.pool.Exec(t.Context(), `UPDATE room SET seq = 7 WHERE id = 'demo'`) // and nobody has those seven
	w.must(err)
	w.state("demo", true)
	c.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == 8 })
	eventually(t, "the snapshot is read anew", func() bool {
		welcome, err := g.Welcome(t.Context(), "demo")
		return err == nil && welcome.Seq == 8 && welcome.ShelfTotal > 1
	})
}

// A gateway that moves from one server of a cluster to the next is never seen without a connection.
func TestReconnectThatIsTooShortToSeeHeals(t *testing.T) {
	w := newWorld(t)
	next, err := stack.StartNATS(0)
	w.must(err)
	next.Close() // so that nobody connects to it at first
	address, err := url.Parse(next.URL())
	w.must(err)
	port, err := strconv.Atoi(address.Port())
	w.must(err)
	w.nats += "," + next.URL()
	balance := atomic.Int64{}
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Selves = append(cfg.Selves, func(_ context.Context, _ pgx.Tx, _ string, selves map[string]*proto.SessionSelf) error {
			for _, self := range selves {
				self.Balance = balance.Load()
			}
			return nil
		})
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	c.event("session_self", nil)
	next, err = stack.StartNATS(port)
	w.must(err)
	defer next.Close()
	balance.Store(7) // and the private event that says so is lost
	w.server.Close()
	c.event("session_self", func(ev *proto.Event) bool { return ev.GetSessionSelf().Balance == 7 })
}

func TestRoomThatTookLongToFailIsStillRemembered(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	a := newAudience(g.hub, "demo")
	a.emptySince = time.Now().Add(-time.Minute) // it was opened a minute ago and fails now
	a.fail(io.ErrUnexpectedEOF)
	if g.hub.retire(a) {
		t.Error("the next viewer asks Postgres at once")
	}
}
