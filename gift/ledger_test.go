package gift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"livecart/proto"
)

func TestBookedTip(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	w.runLedger(w.newLedger())
	g := w.gifts()
	heard, private := w.listen(live)

	sent, balance, err := g.Send(t.Context(), live, user("ann"), "k1", &proto.GiftSend{GiftId: "cake", Count: 2, ComboId: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if balance.Balance != 34 || balance.Version != 2 {
		t.Errorf("balance %v, want 34 at version 2", balance)
	}
	if sent.Delta != 2 || sent.Beans != 66 || sent.Tier != 2 || sent.ComboCount != 2 || sent.User.Id != "ann" || len(sent.TipIds) != 1 {
		t.Errorf("sent %v", sent)
	}
	ev := receive(t, heard)
	if !proto.Equal(ev.GetGiftSent(), sent) {
		t.Errorf("the room heard %v, the sender got %v", ev.GetGiftSent(), sent)
	}
	if ev.Seq != 0 || ev.TimeMs+ComboWindow.Milliseconds() != sent.ComboEndMs {
		t.Errorf("event %v, combo ends at %d", ev, sent.ComboEndMs)
	}
	if p := receive(t, private); p.UserId != "ann" || p.RoomId != "" || !proto.Equal(p.Event.GetWalletBalance(), balance) {
		t.Errorf("private event %v, want %v", p, balance)
	}
	w.eventually("the tip is noted as announced", func() bool { return w.number(`SELECT count(*) FROM tip_unannounced`) == 0 })
	if n := w.number(`SELECT count(*) FROM tip WHERE host_id = 'hana' AND host_beans = 33 AND fee_beans = 33 AND host_ppm = 500000`); n != 1 {
		t.Errorf("%d tips with equal legs, want 1", n)
	}

	again, balanceAgain, err := g.Send(t.Context(), live, user("ann"), "k1", &proto.GiftSend{GiftId: "cake", Count: 2, ComboId: "c"})
	if err != nil || !proto.Equal(again, sent) || !proto.Equal(balanceAgain, balance) {
		t.Errorf("the same request got %v, %v, %v; first %v, %v", again, balanceAgain, err, sent, balance)
	}
	if _, _, err := g.Send(t.Context(), live, user("ann"), "k1", &proto.GiftSend{GiftId: "cake", Count: 1, ComboId: "c"}); !errors.Is(err, ErrConflict) {
		t.Errorf("other content under the key: %v", err)
	}
	if n := w.number(`SELECT count(*) FROM tip`); n != 1 {
		t.Errorf("%d tips, want 1", n)
	}
}

func TestRefusalsAreFinal(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 10)
	w.grant("hana", 10)
	w.runLedger(w.newLedger())
	g := w.gifts()
	rows := []struct {
		name, sender, room, gift string
		want                     error
	}{
		{"insufficient beans", "ann", live, "cake", ErrInsufficient},
		{"no wallet", "poor", live, "rose", ErrInsufficient},
		{"unknown gift", "ann", live, "unicorn", ErrUnknownGift},
		{"unknown room", "ann", "nowhere", "rose", ErrNoRoom},
		{"ended room", "ann", ended, "rose", ErrRoomNotLive},
		{"scheduled room", "ann", "room_soon", "rose", ErrRoomNotLive},
		{"own room", "hana", live, "rose", ErrOwnRoom},
	}
	send := func(key, sender, room, gift string) error {
		_, _, err := g.Send(t.Context(), room, user(sender), key, &proto.GiftSend{GiftId: gift, Count: 1})
		return err
	}
	for _, tt := range rows {
		if err := send(tt.name, tt.sender, tt.room, tt.gift); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// All obstacles go away; the recorded answers stay, new keys are booked.
	w.exec(`UPDATE room SET phase = 'live', host_id = 'nobody'`)
	w.exec(`INSERT INTO room (id, title, phase, host_id, host_name) VALUES ('nowhere', '', 'live', 'nobody', '')`)
	w.exec(`INSERT INTO gift (id, names, beans, tier) VALUES ('unicorn', '{"en": "Unicorn"}', 1, 1)`)
	w.grant("ann", 1000)
	w.grant("poor", 1000)
	for _, tt := range rows {
		if err := send(tt.name, tt.sender, tt.room, tt.gift); !errors.Is(err, tt.want) {
			t.Errorf("%s, asked again: %v, want %v", tt.name, err, tt.want)
		}
		if err := send(tt.name+" anew", tt.sender, tt.room, tt.gift); err != nil {
			t.Errorf("%s, under a new key: %v", tt.name, err)
		}
	}
}

func TestOneBatch(t *testing.T) {
	tests := []struct {
		name  string
		beans int64
		asked func(t *testing.T) []*proto.TipRequest
		want  []proto.TipOutcome
		left  int64
	}{
		{"overdraft by the third", 70, func(t *testing.T) []*proto.TipRequest {
			return []*proto.TipRequest{request(t, "ann", "1", live, "cake", 1, ""), request(t, "ann", "2", other, "cake", 1, ""), request(t, "ann", "3", live, "cake", 1, ""), request(t, "ann", "4", live, "rose", 4, "")}
		}, []proto.TipOutcome{booked, booked, insufficient, booked}, 0},
		{"copies of one request", 100, func(t *testing.T) []*proto.TipRequest {
			r := request(t, "ann", "1", live, "cake", 1, "")
			return []*proto.TipRequest{r, r, proto.Clone(r)}
		}, []proto.TipOutcome{booked, booked, booked}, 67},
		{"one key, two contents", 100, func(t *testing.T) []*proto.TipRequest {
			return []*proto.TipRequest{request(t, "ann", "1", live, "rose", 1, ""), request(t, "ann", "1", live, "rose", 2, ""), request(t, "ann", "1", live, "rose", 1, "")}
		}, []proto.TipOutcome{booked, conflict, booked}, 99},
		{"one key, two senders", 100, func(t *testing.T) []*proto.TipRequest {
			return []*proto.TipRequest{request(t, "ann", "1", live, "rose", 1, ""), request(t, "bo", "1", live, "rose", 1, "")}
		}, []proto.TipOutcome{booked, insufficient}, 99},
		{"all of the wallet, to the bean", 1998, func(t *testing.T) []*proto.TipRequest {
			return []*proto.TipRequest{request(t, "ann", "1", live, "rose", 999, "c"), request(t, "ann", "2", live, "rose", 999, "c"), request(t, "ann", "3", live, "rose", 1, "c")}
		}, []proto.TipOutcome{booked, booked, insufficient}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.grant("ann", tt.beans)
			decided, tips := w.newLedger().settle(t.Context(), tt.asked(t))
			if got := outcomes(decided); !slices.Equal(got, tt.want) {
				t.Errorf("decided %v, want %v", got, tt.want)
			}
			if got := w.balance("ann"); got != tt.left {
				t.Errorf("%d beans left, want %d", got, tt.left)
			}
			if n := w.number(`SELECT count(*) FROM tip`); n != int64(len(tips)) {
				t.Errorf("%d rows, %d tips returned", n, len(tips))
			}
		})
	}
}

func TestComboAcrossBatches(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1_000_000)
	w.grant("bo", 1_000_000)
	l := w.newLedger()
	var want int64
	for batch := range 5 {
		var asked []*proto.TipRequest
		for i := range 60 {
			asked = append(asked,
				request(t, "ann", fmt.Sprintf("%d-%d", batch, i), live, "rose", 999, "big"),
				request(t, "bo", fmt.Sprintf("%d-%d", batch, i), live, "rose", 1, "big")) // another sender's combo of the same id
		}
		decided, _ := l.settle(t.Context(), asked)
		for i, a := range decided {
			if i%2 != 0 {
				continue
			}
			want += 999
			if a.outcome != booked || a.tip.ComboCount != want {
				t.Fatalf("batch %d: combo %v, want %d", batch, a, want)
			}
		}
	}
	if want != 299_700 || w.balance("ann") != 1_000_000-want {
		t.Errorf("combo %d, balance %d", want, w.balance("ann"))
	}
	alone, _ := l.settle(t.Context(), []*proto.TipRequest{
		request(t, "ann", "x", other, "rose", 2, "big"), request(t, "ann", "y", live, "cake", 3, "big"), request(t, "ann", "z", live, "rose", 4, ""),
	})
	for i, n := range []int64{2, 3, 4} {
		if alone[i].tip.ComboCount != n {
			t.Errorf("another room, another gift, no combo: tip %d counts %d, want %d", i, alone[i].tip.ComboCount, n)
		}
	}
}

// Two workers get the same keys and the same wallets in opposite orders, over both rooms.
func TestWorkersAtOnce(t *testing.T) {
	w := newWorld(t)
	const senders, each = 20, 30
	for i := range senders {
		w.grant(fmt.Sprint("user", i), 400)
	}
	var asked []*proto.TipRequest
	for k := range each {
		for i := range senders {
			asked = append(asked, request(t, fmt.Sprint("user", i), fmt.Sprint("k", k), []string{live, other}[(i+k)%2], "cake", 1, "c"))
		}
	}
	backwards := slices.Clone(asked)
	slices.Reverse(backwards)
	got := make([]map[attemptKey]attempt, 4)
	var workers sync.WaitGroup
	for n := range got {
		order := asked
		if n%2 == 1 {
			order = backwards
		}
		got[n] = map[attemptKey]attempt{}
		workers.Go(func() {
			l := w.newLedger()
			for batch := range slices.Chunk(order, 37) {
				decided, _ := l.settle(context.Background(), batch)
				for i, a := range decided {
					got[n][keyOf(batch[i])] = a
				}
			}
		})
	}
	workers.Wait()
	for key, first := range got[0] {
		if first.outcome != booked && first.outcome != insufficient {
			t.Fatalf("%v: %v", key, first.outcome)
		}
		for n := range got {
			if a := got[n][key]; a.outcome != first.outcome || (a.tip != nil && a.tip.ID != first.tip.ID) {
				t.Errorf("%v: worker 0 says %v, worker %d %v", key, first, n, a)
			}
		}
	}
	// 400 beans buy 12 cakes of 33.
	if n := w.number(`SELECT count(*) FROM tip`); n != senders*12 {
		t.Errorf("%d tips, want %d", n, senders*12)
	}
}

func TestBadRequestIsRejectedAlone(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	l := w.newLedger()
	var asked []*proto.TipRequest
	for i := range 9 {
		asked = append(asked, request(t, "ann", fmt.Sprint(i), live, "cake", 1, ""))
	}
	want := slices.Repeat([]proto.TipOutcome{booked}, len(asked))
	asked[0].Count, want[0] = -5, rejected
	asked[4].Key, want[4] = "zero \x00 byte", rejected
	asked[8].Sender.Name, want[8] = "\x00", rejected
	for _, when := range []string{"first", "again"} {
		decided, _ := l.settle(t.Context(), asked)
		if got := outcomes(decided); !slices.Equal(got, want) {
			t.Fatalf("%s: decided %v, want %v", when, got, want)
		}
	}
	if left := w.balance("ann"); left != 1000-6*33 {
		t.Errorf("%d beans left, want %d", left, 1000-6*33)
	}
	if n := w.number(`SELECT count(DISTINCT key) FROM dead_letter WHERE kind = 'tip' AND error <> ''`); n != 3 {
		t.Errorf("%d requests in dead_letter, want 3", n)
	}
}

// Another worker booked the request while this one found fault with it: the first outcome stands.
func TestRejectionComesTooLate(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 10)
	l := w.newLedger()
	asked := []*proto.TipRequest{request(t, "ann", "k", live, "rose", 1, "")}
	l.settle(t.Context(), asked)
	if got := outcomes(l.reject(t.Context(), asked[0], errors.New("a broken constraint"))); !slices.Equal(got, []proto.TipOutcome{tryAgain}) {
		t.Errorf("a booked request was rejected: %v", got)
	}
	if decided, _ := l.settle(t.Context(), asked); decided[0].outcome != booked {
		t.Errorf("asked again: %v", outcomes(decided))
	}
}

// A worker that dies after the commit leaves the announcement to another one.
func TestUnannouncedTipIsSwept(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	heard, private := w.listen(live)
	dead := w.newLedger()
	start := time.Now()
	decided, tips := dead.settle(t.Context(), []*proto.TipRequest{request(t, "ann", "1", live, "rose", 3, "")})
	if len(tips) != 1 {
		t.Fatalf("decided %v", decided)
	}
	w.runLedger(w.newLedger(func(c *Config) { c.SweepEvery = 20 * time.Millisecond }))
	ev := receive(t, heard)
	if !proto.Equal(ev.GetGiftSent(), tips[0].sent()) {
		t.Errorf("the room heard %v, want %v", ev.GetGiftSent(), tips[0].sent())
	}
	if waited := time.Since(start); waited < 2*time.Second {
		t.Errorf("swept after %v, when its own worker may still announce it", waited)
	}
	if p := receive(t, private); p.Event.GetWalletBalance().GetBalance() != 97 {
		t.Errorf("private event %v", p)
	}
	w.eventually("the tip is noted as announced", func() bool { return w.number(`SELECT count(*) FROM tip_unannounced`) == 0 })
}

// Sweeping workers do not announce what another one holds.
func TestSweepSkipsLocked(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	l := w.newLedger(func(c *Config) { c.UnannouncedAfter = time.Nanosecond })
	var asked []*proto.TipRequest
	for i := range 250 { // more than one sweep takes
		asked = append(asked, request(t, "ann", fmt.Sprint(i), live, "rose", 1, ""))
	}
	l.settle(t.Context(), asked)
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT 1 FROM tip_unannounced ORDER BY tip_id LIMIT 10 FOR UPDATE`); err != nil {
			return err
		}
		n, err := l.sweep(t.Context())
		if n != 240 {
			t.Errorf("swept %d, want 240", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.sweep(t.Context()); n != 10 || err != nil {
		t.Errorf("swept %d, %v; want the 10 that were held", n, err)
	}
}

func TestInboxBound(t *testing.T) {
	b := newInbox(5)
	tips := []*proto.TipRequest{request(t, "ann", "1", live, "rose", 1, ""), request(t, "ann", "2", live, "rose", 1, "")}
	for n, want := range []bool{true, true, false} {
		if got := b.put(envelope{tips: tips}); got != want {
			t.Errorf("envelope %d: %t, want %t", n, got, want)
		}
	}
	if !b.put(envelope{tips: tips[:1]}) || b.put(envelope{tips: tips[:1]}) {
		t.Error("5 tips must fit and 6 not")
	}
	if taken := b.take(4); len(taken) != 2 {
		t.Errorf("took %d envelopes of 2, 2 and 1 tips within 4", len(taken))
	}
	if !b.put(envelope{tips: tips}) {
		t.Error("no room after take")
	}
	b.close()
	if b.put(envelope{}) {
		t.Error("took an envelope after close")
	}
	if taken := b.take(1); len(taken) != 1 {
		t.Errorf("took %d, want the first however large", len(taken))
	}
	if taken := b.take(1); len(taken) != 1 || len(taken[0].tips) != 2 {
		t.Errorf("took %v, want the one of two tips", taken)
	}
	if taken := b.take(1); len(taken) != 0 {
		t.Errorf("took %v from a closed, empty inbox", taken)
	}
}

func TestFullInboxSaysBusy(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 10)
	registry := prometheus.NewRegistry()
	w.runLedger(w.newLedger(func(c *Config) { c.Inbox = 1 }))
	g := w.gifts(func(c *Config) { c.Registerer = registry })
	reply := new(proto.TipDecisions)
	two := []*proto.TipRequest{request(t, "ann", "1", live, "rose", 1, ""), request(t, "ann", "2", live, "rose", 1, "")}
	if err := w.bus.Request(t.Context(), "tip", &proto.TipBatch{Tips: two}, reply); err != nil {
		t.Fatal(err)
	}
	for _, d := range reply.Decisions {
		if d.Outcome != busy {
			t.Errorf("decision %v, want busy", d)
		}
	}
	if n := w.number(`SELECT count(*) FROM tip_attempt`); n != 0 {
		t.Errorf("%d attempts recorded", n)
	}
	if _, _, err := g.Send(t.Context(), live, user("ann"), "1", &proto.GiftSend{GiftId: "rose", Count: 1}); err != nil {
		t.Errorf("the same key later: %v", err)
	}
	if n := testutil.ToFloat64(g.total.WithLabelValues("booked")); n != 1 {
		t.Errorf("counted %v booked, want 1", n)
	}
}

// Without Postgres nothing is known, so nothing is said but to ask again; afterwards the key books.
func TestDatabaseAway(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 10)
	l := w.newLedger()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	asked := []*proto.TipRequest{request(t, "ann", "1", live, "rose", 1, "")}
	if decided, tips := l.settle(gone, asked); decided[0].outcome != tryAgain || tips != nil {
		t.Errorf("decided %v", decided)
	}
	if decided, _ := l.settle(t.Context(), asked); decided[0].outcome != booked {
		t.Errorf("later %v", decided)
	}
}

func TestOldRefusalsArePruned(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 10)
	l := w.newLedger()
	l.settle(t.Context(), []*proto.TipRequest{
		request(t, "ann", "booked", live, "rose", 1, ""), request(t, "ann", "old", live, "cake", 9, ""), request(t, "ann", "new", live, "cake", 9, ""),
	})
	w.exec(`UPDATE tip_attempt SET at = at - interval '24 hours 1 second' WHERE key IN ('booked', 'old')`)
	w.exec(`UPDATE tip_attempt SET at = at - interval '23 hours 59 minutes' WHERE key = 'new'`)
	if err := l.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.number(`SELECT count(*) FROM tip_attempt WHERE key IN ('booked', 'new')`); n != 2 {
		t.Errorf("%d of 2 attempts kept", n)
	}
	if n := w.number(`SELECT count(*) FROM tip_attempt`); n != 2 {
		t.Errorf("%d attempts left, want 2", n)
	}
}

// Ledger metrics are one family over all kinds of ledger.
func TestMetricsAreShared(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	share := func(c *Config) { c.Registerer = registry }
	first, second := w.newLedger(share), w.newLedger(share)
	if first.metrics != second.metrics {
		t.Error("two workers of a process count apart")
	}
	if a, b := w.newGifts(share), w.newGifts(share); a.total != b.total {
		t.Error("two gateways of a process count apart")
	}
}

// listen returns the room's and the private events from now on.
func (w *world) listen(roomID string) (<-chan *proto.Event, <-chan *proto.PrivateEvent) {
	w.Helper()
	room, private := make(chan *proto.Event, 1000), make(chan *proto.PrivateEvent, 1000)
	b := w.connect()
	if _, err := b.SubscribeRoom(roomID, func(m *proto.RoomEvents) {
		for _, ev := range m.Events {
			room <- ev
		}
	}); err != nil {
		w.Fatal(err)
	}
	if _, err := b.SubscribePrivate(func(m *proto.PrivateEvents) {
		for _, ev := range m.Events {
			private <- ev
		}
	}); err != nil {
		w.Fatal(err)
	}
	return room, private
}

func receive[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came within 20 s")
	}
	return v
}

// A user's first beans arrive while a batch waits for other locks. The batch has not locked that
// wallet, so it must not spend from it: a second grant would be overwritten.
func TestWalletThatAppearsIsNotSpentUnlocked(t *testing.T) {
	w := newWorld(t)
	w.grant("zoe", 100)
	hold := func(sql string) (release func()) {
		t.Helper()
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback(context.Background()) }
	}
	// waiting reports that one session waits for a lock, in a statement that begins with sql.
	waiting := func(sql string) func() bool {
		return func() bool {
			return w.number(`SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`, sql+"%") == 1
		}
	}
	// One connection, which knows the statements already: preparing them would wait for the locks below.
	cfg := w.pool.Config()
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	l := w.newLedger(func(cfg *Config) { cfg.Pool = pool })
	if first, _ := l.settle(t.Context(), []*proto.TipRequest{request(t, "zoe", "first", live, "rose", 1, "")}); first[0].outcome != booked {
		t.Fatalf("decided %v", outcomes(first))
	}
	wallets, gifts := hold(`SELECT FROM wallet WHERE user_id = 'zoe' FOR UPDATE`), hold(`LOCK TABLE gift`)
	defer wallets()
	defer gifts()
	decided := make(chan []attempt, 1)
	go func() {
		got, _ := l.settle(context.Background(), []*proto.TipRequest{request(t, "ann", "k", live, "rose", 60, ""), request(t, "zoe", "k", live, "rose", 60, "")})
		decided <- got
	}()
	w.eventually("the batch waits for zoe's wallet", waiting("SELECT%FOR UPDATE"))
	w.grant("ann", 100)
	wallets()
	w.eventually("the batch waits for the gifts", waiting("SELECT id, beans"))
	w.grant("ann", 50)
	gifts()
	if got := outcomes(<-decided); !slices.Equal(got, []proto.TipOutcome{insufficient, booked}) {
		t.Errorf("decided %v", got)
	}
	if b := w.balance("ann"); b != 150 {
		t.Errorf("ann has %d beans, want 150", b)
	}
}
