package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func openPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := store.OpenPostgres(t.Context(), stacktest.Postgres(t, store.Migrate))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func putRoom(t *testing.T, pool *pgxpool.Pool, id string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), `INSERT INTO room (id, title, host_id, host_name) VALUES ($1, 'Tea', 'h1', 'May')`, id); err != nil {
		t.Fatal(err)
	}
}

func pinned(text string) *proto.Event {
	return &proto.Event{Event: &proto.Event_ChatPinned{ChatPinned: &proto.ChatPinned{Message: &proto.ChatMessage{Text: text}}}}
}

func TestConnectionSettings(t *testing.T) {
	pool := openPool(t)
	for setting, want := range map[string]string{"synchronous_commit": "on", "plan_cache_mode": "force_custom_plan", "TimeZone": "UTC", "idle_in_transaction_session_timeout": "10s"} {
		var got string
		if err := pool.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", setting, got, err, want)
		}
	}
}

func TestMigrateTwiceAndAtOnce(t *testing.T) {
	url := stacktest.Postgres(t, func(context.Context, string) error { return nil })
	var wg sync.WaitGroup
	total := make(chan int, 3)
	for range 3 {
		wg.Go(func() {
			applied, err := store.MigrateReport(t.Context(), url)
			if err != nil {
				t.Error(err)
			}
			total <- len(applied)
		})
	}
	wg.Wait()
	close(total)
	var first, sum int
	for n := range total {
		first, sum = max(first, n), sum+n
	}
	if first == 0 || sum != first {
		t.Errorf("one of three should apply all, got %d of %d from one", first, sum)
	}
	if applied, err := store.MigrateReport(t.Context(), url); err != nil || len(applied) != 0 {
		t.Errorf("again: %v, %v", applied, err)
	}
}

// TestEventsRiseByOneUnderContention appends from many transactions at once, some of which fail.
func TestEventsRiseByOneUnderContention(t *testing.T) {
	pool := openPool(t)
	putRoom(t, pool, "demo")
	const writers, each = 8, 20
	failed := errors.New("changed its mind")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
					if err := store.AppendEvent(t.Context(), tx, "demo", pinned(fmt.Sprint(w, i))); err != nil {
						return err
					}
					if i%5 == 4 {
						return failed
					}
					return nil
				})
				if err != nil && !errors.Is(err, failed) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want := int64(writers * each * 4 / 5)
	heads, err := store.Heads(t.Context(), pool, []string{"demo", "absent"})
	if err != nil || len(heads) != 1 || heads["demo"] != want {
		t.Fatalf("heads %v, %v; want demo at %d", heads, err, want)
	}
	events, err := store.EventsAfter(t.Context(), pool, "demo", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range events {
		if ev.Seq != int64(i)+1 || ev.TimeMs == 0 {
			t.Fatalf("event %d has number %d at %d", i, ev.Seq, ev.TimeMs)
		}
	}
	if int64(len(events)) != want {
		t.Errorf("%d events, want %d", len(events), want)
	}
	if some, _ := store.EventsAfter(t.Context(), pool, "demo", 10, 3); len(some) != 3 || some[0].Seq != 11 {
		t.Errorf("three after 10: %v", some)
	}
	mustHold(t, pool)
}

func mustHold(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if bad := violations(t, pool); len(bad) != 0 {
		t.Errorf("violated: %v", bad)
	}
}

func violations(t *testing.T, pool *pgxpool.Pool) (bad []store.Violation) {
	t.Helper()
	err := store.InSnapshot(t.Context(), pool, func(tx pgx.Tx) (err error) {
		bad, err = store.Check(t.Context(), tx, store.Invariants)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

func TestInvariantSeesAGap(t *testing.T) {
	pool := openPool(t)
	putRoom(t, pool, "demo")
	for i := range 3 {
		if err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return store.AppendEvent(t.Context(), tx, "demo", pinned(fmt.Sprint(i)))
		}); err != nil {
			t.Fatal(err)
		}
	}
	mustHold(t, pool)
	if _, err := pool.Exec(t.Context(), `DELETE FROM room_event WHERE seq = 2`); err != nil {
		t.Fatal(err)
	}
	if bad := violations(t, pool); len(bad) != 1 || bad[0].Invariant != "room_event_gapless" || bad[0].Row["room_id"] != "demo" {
		t.Errorf("got %v", bad)
	}
}

func TestAppendEventToNoRoom(t *testing.T) {
	pool := openPool(t)
	err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error { return store.AppendEvent(t.Context(), tx, "absent", pinned("x")) })
	if !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("got %v", err)
	}
}

func TestPruneEvents(t *testing.T) {
	pool := openPool(t)
	putRoom(t, pool, "old")
	putRoom(t, pool, "long")
	_, err := pool.Exec(t.Context(), `
		INSERT INTO room_event (room_id, seq, payload, at) VALUES
			('old', 1, '', now() - interval '24 hours 1 second'), ('old', 2, '', now() - interval '23 hours 59 minutes');
		INSERT INTO room_event (room_id, seq, payload) SELECT 'long', n, '' FROM generate_series(1, 10002) n;
		UPDATE room SET seq = CASE id WHEN 'old' THEN 2 ELSE 10002 END`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.PruneEvents(t.Context(), pool); err != nil || n != 3 {
		t.Errorf("pruned %d, %v; want one too old and two beyond the count", n, err)
	}
	mustHold(t, pool)
}

// TestInTxRunsAgainAfterADeadlock lets two transactions lock two rows crosswise.
func TestInTxRunsAgainAfterADeadlock(t *testing.T) {
	pool := openPool(t)
	putRoom(t, pool, "a")
	putRoom(t, pool, "b")
	var met sync.WaitGroup
	met.Add(2)
	var runs sync.Map
	var wg sync.WaitGroup
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			first := true
			err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				n, _ := runs.LoadOrStore(order, 0)
				runs.Store(order, n.(int)+1)
				for i, id := range order {
					if _, err := tx.Exec(t.Context(), `UPDATE room SET title = title || '+' WHERE id = $1`, id); err != nil {
						return err
					}
					if i == 0 && first {
						first = false
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := 0
	runs.Range(func(_, n any) bool { total += n.(int); return true })
	if total < 3 {
		t.Errorf("%d runs: no deadlock happened, so the test shows nothing", total)
	}
	var titles string
	if err := pool.QueryRow(t.Context(), `SELECT string_agg(title, ',') FROM room`).Scan(&titles); err != nil || titles != "Tea++,Tea++" {
		t.Errorf("titles %q, %v: each transaction should count once", titles, err)
	}
}

func TestErrorKinds(t *testing.T) {
	pool := openPool(t)
	putRoom(t, pool, "demo")
	_, err := pool.Exec(t.Context(), `UPDATE room SET phase = 'lively'`)
	if !store.DataError(err) || !store.Violates(err, "room_phase_check") || store.Retryable(err) {
		t.Errorf("check violation judged wrongly: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Exec(ctx, `SELECT 1`); store.DataError(err) || store.Retryable(err) {
		t.Errorf("cancelled context judged wrongly: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	pool := openPool(t)
	nowhere, err := pgxpool.New(t.Context(), "postgres://x@/x?host="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nowhere.Close)
	for _, row := range []struct {
		name, query string
		pool        *pgxpool.Pool
		want        bool
	}{
		{"no server", `SELECT 1`, nowhere, true},
		{"ended by the server", `SELECT pg_terminate_backend(pg_backend_pid())`, pool, true},
		{"no such table", `SELECT FROM nothing`, pool, false},
		{"bad value", `SELECT 'x'::int`, pool, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := row.pool.Exec(t.Context(), row.query); err == nil || store.Unreachable(err) != row.want {
				t.Errorf("judged wrongly: %v", err)
			}
		})
	}
}

func TestScriptRunAllSendsItsSourceWhereItIsMissing(t *testing.T) {
	rdb, err := store.OpenRedis(t.Context(), stacktest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	// A comment of its own makes the hash new to the server.
	script := store.NewScript("-- " + store.NewID("once") + "\nif ARGV[1] == 'bad' then return redis.error_reply('BAD argument') end\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])")
	for round := range 2 {
		replies, err := script.RunAll(t.Context(), rdb, []store.Call{
			{Keys: []string{"n"}, Args: []any{1}}, {Keys: []string{"n"}, Args: []any{"bad"}}, {Keys: []string{"n"}, Args: []any{10}},
		})
		if err != nil {
			t.Fatal(err)
		}
		first, _ := replies[0].Int()
		last, _ := replies[2].Int()
		if first != 11*round+1 || last != 11*round+11 {
			t.Errorf("round %d: %d and %d: a call was run twice or not at all", round, first, last)
		}
		if !redis.HasErrorPrefix(replies[1].Err(), "BAD") {
			t.Errorf("round %d: the script's own error is lost: %v", round, replies[1].Err())
		}
	}
	rdb.Close()
	if _, err := script.RunAll(t.Context(), rdb, []store.Call{{Keys: []string{"n"}, Args: []any{1}}}); err == nil {
		t.Error("a closed client gave no error")
	}
}

func TestIDs(t *testing.T) {
	a, b := store.NewID("ord"), store.NewID("ord")
	if a == b || !strings.HasPrefix(a, "ord_") || !store.ValidID(a) {
		t.Errorf("%q, %q", a, b)
	}
	tests := map[string]bool{
		"a": true, "A-z_9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a.b": false, "a b": false, "房": false, "a>": false, "{a}": false,
	}
	for id, want := range tests {
		if store.ValidID(id) != want {
			t.Errorf("ValidID(%q) = %v", id, !want)
		}
	}
	if h := store.HashUser("{}*> \x00"); len(h) != 32 || !store.ValidID(h) || h == store.HashUser("") {
		t.Errorf("hash %q", h)
	}
}
