package session

import (
	"math/rand/v2"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// sweepEvery is how often timeouts are looked at, where they are not shorter themselves.
const sweepEvery = 500 * time.Millisecond

// sweep does for all connections what is due by the clock.
func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := len(s.conns)-1, 0; i >= 0; i, step = i-1, step+1 {
		if step == walkStep {
			step = 0
			s.pause()
			if i = min(i, len(s.conns)-1); i < 0 {
				break
			}
		}
		s.conns[i].sweep(now)
	}
}

// sweep does what is due by the clock. Called with the shard's lock.
func (c *Conn) sweep(now time.Time) {
	cfg := &c.gw.cfg
	if c.queue.ended() {
		if !c.endBy.IsZero() && !now.Before(c.endBy) {
			c.drop()
		}
		return
	}
	heard := time.Unix(0, c.lastRead.Load())
	switch {
	case now.Sub(heard) >= cfg.IdleTimeout:
		c.finish(ending{code: websocket.CloseGoingAway, text: "idle"})
		return
	case !c.stuckAt.IsZero() && now.Sub(c.stuckAt) >= cfg.WriteTimeout:
		c.finishSlow()
		return
	case !c.heldUntil.IsZero() && !now.Before(c.heldUntil):
		c.finish(ending{code: websocket.ClosePolicyViolation, text: "a message takes too long", linger: true})
		return
	}
	if !now.Before(c.pingAt) {
		// Who said something since needs no ping.
		if next := heard.Add(cfg.PingInterval); now.Before(next) {
			c.pingAt = next
		} else {
			c.pingAt = now.Add(cfg.PingInterval)
			c.queue.requestPing()
			c.pump()
		}
	}
	expires := c.Viewer().ExpiresAt
	switch {
	case expires.IsZero():
	case !now.Before(expires):
		c.finish(ending{code: CloseUnauthenticated, text: string(proto.ReasonTokenExpired), flush: true})
	case expires.Sub(now) <= ExpiryNotice && !c.warnedFor.Equal(expires):
		c.warnedFor = expires
		c.sendLocked(&proto.ServerFrame{Events: []*proto.Event{{
			TimeMs: now.UnixMilli(),
			Event:  &proto.Event_SessionExpiring{SessionExpiring: &proto.SessionExpiring{AtMs: expires.UnixMilli()}},
		}}})
	}
}

// firstPing spreads the first pings of those who came together.
func firstPing(interval time.Duration) time.Duration { return interval/2 + rand.N(interval/2+1) }
