package bus

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"livecart/proto"
)

// Subscription calls one function, from one goroutine, for each message of a subject.
type Subscription struct {
	bus *Bus
	sub *nats.Subscription
	// Guards the function against running on after Close.
	mu     sync.Mutex
	closed bool
}

// SubscribeRoom calls fn for the events of a room. When it returns the server knows of the
// subscription: what is published afterwards anywhere on the same server will come. It fails when
// the server does not confirm that within 5 s, which spans a short absence; nothing is left behind then.
func (b *Bus) SubscribeRoom(roomID string, fn func(*proto.RoomEvents)) (*Subscription, error) {
	return subscribe(b, b.roomSubject(roomID), "", func(m *nats.Msg) {
		events := new(proto.RoomEvents)
		if proto.Decode(proto.Binary, m.Data, events) == nil {
			fn(events)
		}
	})
}

// SubscribePrivate calls fn for the private events of all users.
func (b *Bus) SubscribePrivate(fn func(*proto.PrivateEvents)) (*Subscription, error) {
	return subscribe(b, b.privateSubject(), "", func(m *nats.Msg) {
		events := new(proto.PrivateEvents)
		if proto.Decode(proto.Binary, m.Data, events) == nil {
			fn(events)
		}
	})
}

// subscribeTimeout is how long the server may take to confirm a subscription.
const subscribeTimeout = 5 * time.Second

func subscribe(b *Bus, subject, queue string, fn func(*nats.Msg)) (*Subscription, error) {
	s := &Subscription{bus: b}
	sub, err := b.nc.QueueSubscribe(subject, queue, func(m *nats.Msg) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			fn(m)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", subject, err)
	}
	s.sub = sub
	b.mu.Lock()
	b.subs[s] = struct{}{}
	b.mu.Unlock()
	if err := b.nc.FlushTimeout(b.patience); err != nil {
		// Nobody would close it; that it cannot be ended says no more than that it could not begin.
		_ = s.Close()
		return nil, fmt.Errorf("subscribe %s: %w", subject, err)
	}
	return s, nil
}

// Close ends the subscription and waits until its function has returned; it is not called again.
// It must not be called from the function.
func (s *Subscription) Close() error {
	err := s.sub.Unsubscribe()
	s.end()
	s.bus.mu.Lock()
	delete(s.bus.subs, s)
	s.bus.mu.Unlock()
	if err != nil {
		return fmt.Errorf("unsubscribe %s: %w", s.sub.Subject, err)
	}
	return nil
}

// end waits until the function has returned and keeps it from being called again.
func (s *Subscription) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}
