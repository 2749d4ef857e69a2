package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"livecart/proto"
)

// ErrNoResponders says that no ledger worker serves the asked kind at the moment.
var ErrNoResponders = errors.New("no ledger worker answers")

// ErrDisconnected says that NATS is away, so the request was not sent.
var ErrDisconnected = errors.New("nats is disconnected")

// Unreachable reports whether no NATS server could be reached, so that Connect may go well later.
func Unreachable(err error) bool {
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout)
}

// Config says how to reach NATS.
type Config struct {
	// URL is one or more nats:// or tls:// addresses, separated by commas.
	URL string
	// Prefix begins every subject; "livecart" when empty.
	Prefix string
	// Name is shown by the server's monitoring; "livecart" when empty.
	Name string
	// CredsFile is a NATS credentials file, empty for none.
	CredsFile string
	// TLS is used for tls:// addresses and where the server asks for it; nil for the default.
	TLS *tls.Config
	// Log is told of lost and regained connections and of slow subscriptions; nil discards.
	Log *slog.Logger
}

// Bus is one connection to NATS. Safe for concurrent use.
type Bus struct {
	nc       *nats.Conn
	prefix   string
	patience time.Duration // of a new subscription with the server
	closed   chan struct{}
	losses   atomic.Uint64

	mu   sync.Mutex
	subs map[*Subscription]struct{}
}

// Connect connects and checks that the server answers. Afterwards the connection is kept up for
// ever, with a jittered wait of at most two seconds between two tries.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = "livecart"
	}
	if cfg.Name == "" {
		cfg.Name = "livecart"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bus{
		prefix: cfg.Prefix, patience: subscribeTimeout,
		closed: make(chan struct{}), subs: make(map[*Subscription]struct{}),
	}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(time.Second, time.Second),
		nats.ReconnectBufSize(8 << 20),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DrainTimeout(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.Log.Warn("nats connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.losses.Add(1)
			cfg.Log.Info("nats connection is back", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				b.losses.Add(1)
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			cfg.Log.Warn("nats", "subject", subject, "err", err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(time.Until(deadline)))
	}
	nc, err := nats.Connect(cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	b.nc = nc
	return b, nil
}

// Close delivers what has come and sends what is buffered, for 5 s at the most, ends the connection
// and waits until the functions of all subscriptions have returned; none is called again. It must
// not be called from one of them.
func (b *Bus) Close() {
	if err := b.nc.Drain(); err != nil {
		b.nc.Close()
	}
	<-b.closed
	b.mu.Lock()
	left := slices.Collect(maps.Keys(b.subs))
	clear(b.subs)
	b.mu.Unlock()
	for _, s := range left {
		s.end()
	}
}

// Connected reports whether NATS is reachable at the moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Losses rises whenever messages to this process may have been lost: when the connection is back
// after it was gone, however shortly, and when a subscription did not keep up with what came.
func (b *Bus) Losses() uint64 { return b.losses.Load() }

func (b *Bus) roomSubject(roomID string) string { return b.prefix + ".room." + roomID }
func (b *Bus) privateSubject() string           { return b.prefix + ".private" }
func (b *Bus) ledgerSubject(kind string) string { return b.prefix + ".ledger." + kind }

func (b *Bus) publish(subject string, m proto.Message) error {
	data, err := proto.Encode(proto.Binary, m)
	if err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	if err := b.nc.Publish(subject, data); err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	return nil
}

// PublishRoom sends events to every gateway with viewers in the room. It does not wait.
func (b *Bus) PublishRoom(roomID string, events ...*proto.Event) error {
	return b.publish(b.roomSubject(roomID), &proto.RoomEvents{RoomId: roomID, Events: events})
}

// PublishPrivate sends events for single users to every gateway. It does not wait.
func (b *Bus) PublishPrivate(events ...*proto.PrivateEvent) error {
	if len(events) == 0 {
		return nil
	}
	return b.publish(b.privateSubject(), &proto.PrivateEvents{Events: events})
}

// Flush waits until the server has taken what was published before.
func (b *Bus) Flush(ctx context.Context) error { return b.nc.FlushWithContext(ctx) }
