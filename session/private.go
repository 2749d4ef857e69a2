package session

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"livecart/proto"
)

// roster knows the connections of each signed-in user on this gateway. Safe for concurrent use.
type roster struct {
	perUser int
	buys    int // flash_buy a second and user

	mu    sync.Mutex
	users map[string]*member
}

// member is one user. It stays until its limiter is full again, so that connecting anew does not
// reset the limit.
type member struct {
	conns []*Conn // oldest first
	buys  *rate.Limiter
}

func newRoster(perUser, buys int) *roster {
	return &roster{perUser: perUser, buys: buys, users: make(map[string]*member)}
}

// add enters a connection and returns those that it replaces, the oldest.
func (r *roster) add(c *Conn) (replaced []*Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.users[c.userID]
	if m == nil {
		m = &member{buys: rate.NewLimiter(rate.Limit(r.buys), r.buys)}
		r.users[c.userID] = m
	}
	m.conns = append(m.conns, c)
	if over := len(m.conns) - r.perUser; over > 0 {
		replaced = slices.Clone(m.conns[:over])
		m.conns = slices.Delete(m.conns, 0, over)
	}
	return replaced
}

func (r *roster) remove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.users[c.userID]; m != nil {
		if i := slices.Index(m.conns, c); i >= 0 {
			m.conns = slices.Delete(m.conns, i, i+1)
		}
	}
}

// forget drops users without connections whose limiter has nothing left to remember.
func (r *roster) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.users {
		if len(m.conns) == 0 && m.buys.TokensAt(now) >= float64(r.buys) {
			delete(r.users, id)
		}
	}
}

// mayBuy takes one flash_buy from the user's limit, or returns how long to wait.
func (r *roster) mayBuy(userID string, now time.Time) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.users[userID]
	if m == nil {
		return 0, true // gone already; its command still runs
	}
	return allow(m.buys, now)
}

// deliver queues private events for the connections of their users: those of one room where the
// event names it, else all.
func (r *roster) deliver(envelope *proto.PrivateEvents) {
	for _, p := range envelope.Events {
		if p.Event.GetEvent() == nil {
			continue
		}
		// Writing takes a while, for which nobody else should wait.
		for _, c := range r.connsOf(p.GetUserId()) {
			if p.RoomId == "" || p.RoomId == c.room.roomID {
				c.send(&proto.ServerFrame{Events: []*proto.Event{p.Event}})
			}
		}
	}
}

func (r *roster) connsOf(userID string) []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.users[userID]; m != nil {
		return slices.Clone(m.conns)
	}
	return nil
}
