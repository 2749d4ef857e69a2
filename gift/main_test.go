package gift

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a database with two live rooms and three gifts, and a bus. When the test ends every
// invariant must hold.
type world struct {
	testing.TB
	pool *pgxpool.Pool
	bus  *bus.Bus
	nats string
}

const (
	live  = "room_live" // of host "hana", who keeps half
	other = "room_other"
	ended = "room_ended"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := t.Context()
	pool, err := store.OpenPostgres(ctx, stacktest.Postgres(t, store.Migrate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := &world{TB: t, pool: pool, nats: stacktest.NATS(t)}
	w.bus = w.connect()
	w.exec(`INSERT INTO room (id, title, phase, host_id, host_name) VALUES
		('room_live', 'Live', 'live', 'hana', 'Hana'), ('room_other', 'Other', 'paused', 'otto', 'Otto'),
		('room_ended', 'Ended', 'ended', 'hana', 'Hana'), ('room_soon', 'Soon', 'scheduled', 'hana', 'Hana')`)
	w.exec(`INSERT INTO gift (id, names, beans, tier) VALUES
		('rose', '{"en": "Rose"}', 1, 1), ('cake', '{"en": "Cake"}', 33, 2), ('rocket', '{"en": "Rocket"}', 1000, 3)`)
	t.Cleanup(w.checkInvariants)
	return w
}

func (w *world) connect() *bus.Bus {
	w.Helper()
	b, err := bus.Connect(context.Background(), bus.Config{URL: w.nats})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(b.Close)
	return b
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, args...); err != nil {
		w.Fatal(err)
	}
}

// number returns the result of a query of one integer.
func (w *world) number(sql string, args ...any) (n int64) {
	w.Helper()
	if err := w.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) violations() []store.Violation {
	w.Helper()
	var found []store.Violation
	err := store.InSnapshot(context.Background(), w.pool, func(tx pgx.Tx) (err error) {
		found, err = store.Check(context.Background(), tx, Invariants)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return found
}

func (w *world) checkInvariants() {
	w.Helper()
	for _, v := range w.violations() {
		w.Errorf("invariant %s does not hold: %v", v.Invariant, v.Row)
	}
}

func (w *world) config() Config { return Config{Pool: w.pool, Bus: w.bus} }

func (w *world) newLedger(change ...func(*Config)) *Ledger {
	w.Helper()
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	l, err := NewLedger(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// runLedger runs a worker until the test ends or the returned function is called, and returns once
// it serves.
func (w *world) runLedger(l *Ledger) (stop func()) {
	w.Helper()
	stop = w.run(l.Run)
	w.eventually("the worker serves", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return l.bus.Request(ctx, "tip", new(proto.TipBatch), new(proto.TipDecisions)) == nil
	})
	return stop
}

func (w *world) newGifts(change ...func(*Config)) *Gifts {
	w.Helper()
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return g
}

// gifts is a running gateway's side.
func (w *world) gifts(change ...func(*Config)) *Gifts {
	w.Helper()
	g := w.newGifts(change...)
	w.run(g.Run)
	return g
}

func (w *world) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			w.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *world) grant(userID string, beans int64) {
	w.Helper()
	if err := w.newGifts().Grant(context.Background(), userID, fmt.Sprintf("seed-%d", beans), beans); err != nil {
		w.Fatal(err)
	}
}

func (w *world) balance(userID string) int64 {
	w.Helper()
	return w.number(`SELECT coalesce((SELECT balance FROM wallet WHERE user_id = $1), 0)`, userID)
}

func user(id string) *proto.User {
	return &proto.User{Id: id, Name: "Name of " + id, Role: proto.Role_ROLE_VIEWER}
}

// request is a well-formed tip.
func request(t testing.TB, sender, key, roomID, giftID string, count int32, comboID string) *proto.TipRequest {
	t.Helper()
	r, err := newTipRequest(roomID, user(sender), key, &proto.GiftSend{GiftId: giftID, Count: count, ComboId: comboID})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outcomes lists what was decided.
func outcomes(decided []attempt) []proto.TipOutcome {
	return columns(decided, func(a attempt) proto.TipOutcome { return a.outcome })
}
