package gift

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"livecart/proto"
)

// settled settles a host up to now and expects a payout of beans.
func (w *world) settled(hostID, key string, beans int64) *Settlement {
	w.Helper()
	s, err := w.newGifts().Settle(context.Background(), hostID, "op", key, time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	if fen, rest := Payout(beans); s.Beans != beans || s.Amount != fen || s.Rest != rest || s.Currency != "CNY" {
		w.Errorf("%s paid %+v, want %d beans", key, s, beans)
	}
	return s
}

func (w *world) tip(sender, key string, beans int32) string {
	w.Helper()
	decided, _ := w.newLedger().settle(context.Background(), []*proto.TipRequest{request(w, sender, key, live, "rose", beans, "")})
	if decided[0].outcome != booked {
		w.Fatalf("tip %s: %v", key, decided[0].outcome)
	}
	return decided[0].tip.ID
}

func (w *world) earnings(hostID string) Earnings {
	w.Helper()
	e, err := w.newGifts().Earnings(context.Background(), hostID)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func TestReversal(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	g := w.newGifts(func(c *Config) { c.RankingAge = time.Nanosecond })
	_, private := w.listen(live)
	kept, taken := w.tip("ann", "1", 7), w.tip("ann", "2", 33)
	r, err := g.ReverseTip(t.Context(), taken, "op", "k", "a child's")
	if err != nil {
		t.Fatal(err)
	}
	if r.TipID != taken || r.HostID != "hana" || r.SenderID != "ann" || r.RoomID != live || r.Beans != 33 || r.HostBeans != 16 || r.FeeBeans != 17 ||
		r.Balance != 93 || r.Version != 4 {
		t.Errorf("%+v", r)
	}
	told := receive(t, private)
	for told.Event.GetWalletBalance().GetVersion() == 1 { // the grant's
		told = receive(t, private)
	}
	if ev := told; ev.UserId != "ann" || ev.Event.GetWalletBalance().GetBalance() != 93 || ev.Event.GetWalletBalance().GetVersion() != 4 {
		t.Errorf("private event %v", ev)
	}
	if top, err := g.Ranking(t.Context(), live, 5); err != nil || len(top) != 1 || top[0].Beans != 7 {
		t.Errorf("ranking %v, %v", top, err)
	}
	for _, key := range []string{"k", "another"} {
		if again, err := g.ReverseTip(t.Context(), taken, "op", key, "a child's"); err != nil || again.ID != r.ID || again.Version != 4 {
			t.Errorf("again under %s: %+v, %v", key, again, err)
		}
	}
	for name, tt := range map[string]struct {
		tip, by, key, reason string
		want                 error
	}{
		"another tip under the key":    {kept, "op", "k", "a child's", ErrKeyConflict},
		"another reason under the key": {taken, "op", "k", "fraud", ErrKeyConflict},
		"unknown tip":                  {"tip_none", "op", "x", "fraud", ErrUnknownTip},
		"an id that is none":           {"\x00", "op", "x", "fraud", ErrUnknownTip},
		"no reason":                    {kept, "op", "x", "", invalid("")},
		"a long reason":                {kept, "op", "x", strings.Repeat("é", maxReason+1), invalid("")},
		"a reason that is no text":     {kept, "op", "x", "a\x00b", invalid("")},
		"no key":                       {kept, "op", "", "fraud", invalid("")},
		"nobody":                       {kept, "", "x", "fraud", ErrSignIn},
	} {
		if _, err := g.ReverseTip(t.Context(), tt.tip, tt.by, tt.key, tt.reason); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if n := w.number(`SELECT count(*) FROM tip_reversal`); n != 1 {
		t.Errorf("%d reversals, want 1", n)
	}
	if _, err := g.ReverseTip(t.Context(), kept, "op", "last", strings.Repeat("é", maxReason)); err != nil {
		t.Error(err)
	}
	if top, err := g.Ranking(t.Context(), live, 5); err != nil || len(top) != 0 {
		t.Errorf("ranking without tips %v, %v", top, err)
	}
	if e := w.earnings("hana"); e != (Earnings{}) {
		t.Errorf("earnings %+v", e)
	}
}

func TestReversedOnceAtOnce(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	tips := []string{w.tip("ann", "1", 10), w.tip("ann", "2", 20)}
	g := w.newGifts()
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			if _, err := g.ReverseTip(t.Context(), tips[i%2], "op", fmt.Sprint(i), "fraud"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if w.balance("ann") != 100 {
		t.Errorf("balance %d, want 100", w.balance("ann"))
	}
}

func TestSettlementAndDebt(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	g := w.newGifts()
	if _, err := g.Settle(t.Context(), "hana", "op", "k", time.Time{}); !errors.Is(err, ErrNothingToSettle) {
		t.Errorf("nothing earned: %v", err)
	}
	tips := []string{w.tip("ann", "1", 20), w.tip("ann", "2", 30)}
	first := w.settled("hana", "k", 25)
	if first.N != 1 || first.Tips != 2 || first.Reversals != 0 || first.Earned != 25 || first.Amount != 357 || first.Rest != 1 {
		t.Errorf("first %+v", first)
	}
	if again, err := g.Settle(t.Context(), "hana", "op", "k", time.Time{}); err != nil || again.ID != first.ID || *again != *first {
		t.Errorf("again %+v, %v", again, err)
	}
	if _, err := g.Settle(t.Context(), "hana", "op", "k2", time.Time{}); !errors.Is(err, ErrNothingToSettle) {
		t.Errorf("settled twice: %v", err)
	}
	for name, tt := range map[string]struct {
		host, by, key string
		until         time.Time
		want          error
	}{
		"another host under the key":  {"otto", "op", "k", time.Time{}, ErrKeyConflict},
		"another time under the key":  {"hana", "op", "k", time.UnixMilli(1), ErrKeyConflict},
		"before anything":             {"hana", "op", "x", time.UnixMilli(1), ErrNothingToSettle},
		"tomorrow":                    {"hana", "op", "x", time.Now().Add(24 * time.Hour), invalid("")},
		"beyond what years are":       {"hana", "op", "x", time.UnixMilli(1 << 62), invalid("")},
		"before what years are":       {"hana", "op", "x", time.UnixMilli(-1 << 62), invalid("")},
		"no host":                     {"", "op", "x", time.Time{}, invalid("")},
		"a host that is no text":      {"a\x00b", "op", "x", time.Time{}, invalid("")},
		"no key":                      {"hana", "op", "", time.Time{}, invalid("")},
		"nobody":                      {"hana", "", "x", time.Time{}, ErrSignIn},
		"a host who never had a room": {"nobody", "op", "x", time.Time{}, ErrNothingToSettle},
	} {
		if _, err := g.Settle(t.Context(), tt.host, tt.by, tt.key, tt.until); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}

	if _, err := g.ReverseTip(t.Context(), tips[1], "op", "r", "fraud"); err != nil {
		t.Fatal(err)
	}
	if e := w.earnings("hana"); e != (Earnings{Earned: 10, Settled: 25, Debt: 15}) {
		t.Errorf("in debt: %+v", e)
	}
	w.tip("ann", "3", 10)
	second := w.settled("hana", "second", 0)
	if second.Earned != -10 || second.DebtBefore != 0 || second.DebtAfter != 10 || second.Tips != 1 || second.Reversals != 1 {
		t.Errorf("second %+v", second)
	}
	w.tip("ann", "4", 60)
	if e := w.earnings("hana"); e != (Earnings{Earned: 45, Settled: 25, Open: 20}) {
		t.Errorf("earned on top of a debt: %+v", e)
	}
	third := w.settled("hana", "third", 20)
	if third.Earned != 30 || third.DebtBefore != 10 || third.DebtAfter != 0 || third.N != 3 {
		t.Errorf("third %+v", third)
	}
	page, err := g.Settlements(t.Context(), "hana", 2, 0)
	if err != nil || len(page) != 2 || page[0] != *third || page[1] != *second {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err = g.Settlements(t.Context(), "hana", 2, 2); err != nil || len(page) != 1 || page[0] != *first {
		t.Errorf("%+v, %v", page, err)
	}
	for _, limit := range []int{0, -1, MaxSettlements + 1} {
		if _, err := g.Settlements(t.Context(), "hana", limit, 0); !errors.Is(err, invalid("")) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestSettlementUntil(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	w.tip("ann", "1", 10)
	second := w.tip("ann", "2", 20)
	var at time.Time
	if err := w.pool.QueryRow(t.Context(), `SELECT at FROM tip WHERE id = $1`, second).Scan(&at); err != nil {
		t.Fatal(err)
	}
	s, err := w.newGifts().Settle(t.Context(), "hana", "op", "k", at)
	if err != nil || s.Tips != 1 || s.Beans != 5 || !s.Until.Equal(at) {
		t.Errorf("%+v, %v", s, err)
	}
	w.settled("hana", "rest", 10)
}

// A database whose clock stepped back dates tips before the end of a settlement: the next one looks a day
// back for them. Older ones are left alone, and an invariant tells of them.
func TestSettlementLooksADayBack(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	w.tip("ann", "1", 10)
	w.settled("hana", "1", 5)
	near, far := w.tip("ann", "2", 20), w.tip("ann", "3", 30)
	w.exec(`UPDATE tip SET at = (SELECT until FROM settlement) - interval '1 day' WHERE id = $1`, near)
	w.exec(`UPDATE tip SET at = (SELECT until FROM settlement) - interval '1 day 1 microsecond' WHERE id = $1`, far)
	if e := w.earnings("hana"); e != (Earnings{Earned: 15, Settled: 5, Open: 10}) {
		t.Errorf("%+v", e)
	}
	if found := w.violations(); len(found) != 1 || found[0].Invariant != "settlement_entries" || found[0].Row["entry_id"] != far {
		t.Errorf("invariants: %v", found)
	}
	w.settled("hana", "2", 10)
	w.exec(`UPDATE tip SET at = now() WHERE id = $1`, far)
	w.settled("hana", "3", 15)
	if e := w.earnings("hana"); e != (Earnings{Earned: 30, Settled: 30}) {
		t.Errorf("%+v", e)
	}
}

// Settlements race each other, tips and reversals: each tip and reversal is taken once, and none that
// is dated before a settlement's end appears after it.
func TestSettlementsAtOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.grant(fmt.Sprint("user", i), 100_000)
	}
	g := w.newGifts()
	done := make(chan struct{})
	var senders, settlers sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			l := w.newLedger()
			for n := range 60 {
				decided, _ := l.settle(t.Context(), []*proto.TipRequest{request(t, fmt.Sprint("user", i), fmt.Sprint(n), live, "rose", int32(n+1), "")})
				if decided[0].outcome != booked {
					t.Errorf("tip: %v", decided[0].outcome)
				} else if n%5 == 0 {
					if _, err := g.ReverseTip(t.Context(), decided[0].tip.ID, "op", fmt.Sprint(i, "-", n), "fraud"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 2 {
		settlers.Go(func() {
			for n := 0; ; n++ {
				s, err := g.Settle(t.Context(), "hana", "op", fmt.Sprint(i, "-", n), time.Time{})
				if err != nil && !errors.Is(err, ErrNothingToSettle) {
					t.Error(err)
				}
				if err == nil {
					if late := w.number(`
						SELECT count(*) FROM (SELECT id, at, host_id FROM tip UNION ALL SELECT id, at, host_id FROM tip_reversal) e
						WHERE at < $1 AND NOT EXISTS (SELECT FROM settlement_entry s WHERE s.entry_id = e.id)`, s.Until); late != 0 {
						t.Errorf("%d entries before the end of settlement %d were not taken", late, s.N)
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	senders.Wait()
	close(done)
	settlers.Wait()
	if n := w.number(`SELECT count(*) FROM settlement`); n < 2 {
		t.Errorf("%d settlements raced", n)
	}
}

// A tip under way whose time is earlier than a settlement's end is waited for, and no other tip waits for
// the settlement.
func TestSettlementWaitsForTips(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	w.grant("bob", 100)
	ctx := t.Context()
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, _, err := book(ctx, tx, 0, []*proto.TipRequest{request(t, "ann", "1", live, "rose", 10, "")}); err != nil {
		t.Fatal(err)
	}
	settled := make(chan *Settlement, 1)
	go func() { // ends with the settlement, which has a time limit
		s, err := w.newGifts().Settle(ctx, "hana", "op", "k", time.Time{})
		if err != nil {
			t.Error(err)
		}
		settled <- s
	}()
	w.eventually("the settlement has looked", func() bool {
		return w.number(`SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM pg_locks%'`) > 0
	})
	w.tip("bob", "1", 10)
	select {
	case s := <-settled:
		t.Fatalf("%+v while a tip was under way", s)
	default:
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if s := <-settled; s == nil || s.Tips < 1 || w.number(`SELECT count(*) FROM settlement_entry e JOIN tip t ON t.id = e.entry_id WHERE t.sender_id = 'ann'`) != 1 {
		t.Errorf("%+v, want the tip that was under way", s)
	}
}

// A worker that is stuck with tips has settlements tried again, and nothing else wait.
func TestSettlementBehindStuckWorker(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	ctx := t.Context()
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(ctx, `INSERT INTO tip_attempt (sender_id, key, hash, outcome) VALUES ('stuck', '1', '', 'unknown_gift')`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.newGifts().Settle(ctx, "hana", "op", "k", time.Time{}); !errors.Is(err, ErrTryAgain) {
		t.Errorf("%v, want %v", err, ErrTryAgain)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	w.tip("ann", "1", 10)
	w.settled("hana", "k", 5)
}

func TestSettlementsLeaveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var earned, paid, debt int64
		for range rapid.IntRange(1, 20).Draw(t, "periods") {
			s := Settlement{Earned: rapid.Int64Range(-1e6, 1e6).Draw(t, "earned"), DebtBefore: debt}
			s.settle()
			earned, paid, debt = earned+s.Earned, paid+s.Beans, s.DebtAfter
			if s.Beans < 0 || s.DebtAfter < 0 || s.Beans > 0 && s.DebtAfter > 0 {
				t.Fatalf("%+v", s)
			}
			if s.Beans*100 != s.Amount*BeansPerYuan+s.Rest || s.Rest < 0 || s.Rest >= BeansPerYuan {
				t.Fatalf("money of %+v", s)
			}
			if earned != paid-debt {
				t.Fatalf("earned %d, paid %d, debt %d", earned, paid, debt)
			}
		}
	})
}
