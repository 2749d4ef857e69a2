package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const roomID = "demo"

var (
	viewer    = &proto.User{Id: "viewer {1}", Name: "Vera", Role: proto.Role_ROLE_VIEWER}
	other     = &proto.User{Id: "viewer2", Name: "Otto", Role: proto.Role_ROLE_VIEWER}
	moderator = &proto.User{Id: "mod", Name: "Mo", Role: proto.Role_ROLE_MODERATOR}
	host      = &proto.User{Id: "host", Name: "Hanna", Role: proto.Role_ROLE_HOST}
	bot       = &proto.User{Id: "bot", Name: "Bo", Role: proto.Role_ROLE_BOT}
	operator  = &proto.User{Id: "operator", Name: "Ops", Role: proto.Role_ROLE_OPERATOR}
)

// world is a room on real stores, with as many gateways as a test makes.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	redis redis.UniversalClient
	bus   *bus.Bus
	heard chan *proto.Event // of the room
}

func newWorld(t *testing.T) *world { return newWorldOn(t, stacktest.Redis(t)) }

func newWorldOn(t *testing.T, redisURL string) *world {
	t.Helper()
	pool, err := store.OpenPostgres(t.Context(), stacktest.Postgres(t, store.Migrate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	rdb, err := store.OpenRedis(t.Context(), redisURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	b, err := bus.Connect(t.Context(), bus.Config{URL: stacktest.NATS(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &world{t: t, pool: pool, redis: rdb, bus: b, heard: make(chan *proto.Event, 1000)}
	w.exec(`INSERT INTO room (id, title, phase, host_id, host_name) VALUES ($1, 'Demo', 'live', $2, 'Hanna')`, roomID, host.Id)
	sub, err := b.SubscribeRoom(roomID, func(events *proto.RoomEvents) {
		for _, ev := range events.Events {
			w.heard <- ev
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) phase(phase string) {
	w.t.Helper()
	w.exec(`UPDATE room SET phase = $2 WHERE id = $1`, roomID, phase)
}

// gateway starts a Chat of its own; configure may be nil.
func (w *world) gateway(configure func(*Config)) *Chat {
	w.t.Helper()
	cfg := Config{Pool: w.pool, Redis: w.redis, Bus: w.bus, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	if configure != nil {
		configure(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// event returns the next event of the room.
func (w *world) event() *proto.Event {
	w.t.Helper()
	select {
	case ev := <-w.heard:
		return ev
	case <-time.After(5 * time.Second):
		w.t.Fatal("no event came")
		return nil
	}
}

// silent fails when anything was published that no test has taken.
func (w *world) silent() {
	w.t.Helper()
	const mark = "mark"
	if err := w.bus.PublishRoom(roomID, &proto.Event{Event: &proto.Event_ChatDeleted{ChatDeleted: &proto.ChatDeleted{MessageId: mark}}}); err != nil {
		w.t.Fatal(err)
	}
	if ev := w.event(); ev.GetChatDeleted().GetMessageId() != mark {
		w.t.Fatalf("unexpected event %v", ev)
	}
}

func (w *world) post(c *Chat, by *proto.User, text string) *proto.ChatMessage {
	w.t.Helper()
	m, err := c.Post(w.t.Context(), roomID, by, "", text)
	if err != nil {
		w.t.Fatalf("%s says %q: %v", by.Name, text, err)
	}
	return m
}

func (w *world) refused(c *Chat, by *proto.User, text string, want *proto.Problem) *proto.Problem {
	w.t.Helper()
	_, err := c.Post(w.t.Context(), roomID, by, "", text)
	return w.is(err, want)
}

func (w *world) is(err error, want *proto.Problem) *proto.Problem {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Fatalf("got %v, want %v", err, want)
	}
	var p *proto.Problem
	errors.As(err, &p)
	return p
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// snapshot returns a welcome with what the chat puts into it.
func (w *world) snapshot(c *Chat) *proto.SessionWelcome {
	w.t.Helper()
	welcome := new(proto.SessionWelcome)
	w.ok(store.InSnapshot(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		return c.Snapshot(w.t.Context(), tx, roomID, welcome)
	}))
	return welcome
}

// eventually polls until fn is true.
func (w *world) eventually(what string, fn func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !fn() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
