package gift

import (
	"fmt"
	"sync"
	"testing"

	"livecart/proto"
)

// A worker that cannot go on takes 4,096 tips in, and says busy to the next; the 4,096 are decided when
// it can.
func TestInboxEdgeOverNATS(t *testing.T) {
	const most, each = 4096, 256
	w := newWorld(t)
	w.grant("ann", 10)
	w.grant("bob", 2*most)
	l := w.newLedger()
	w.runLedger(l)
	ask := func(sender, name string, n int) *proto.TipDecisions {
		batch, reply := new(proto.TipBatch), new(proto.TipDecisions)
		for i := range n {
			batch.Tips = append(batch.Tips, request(t, sender, fmt.Sprint(name, "-", i), live, "rose", 1, ""))
		}
		if err := w.bus.Request(t.Context(), "tip", batch, reply); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return reply
	}
	all := func(reply *proto.TipDecisions, n int, want proto.TipOutcome) {
		t.Helper()
		if len(reply.Decisions) != n {
			t.Errorf("%d decisions of %d", len(reply.Decisions), n)
		}
		for _, d := range reply.Decisions {
			if d.Outcome != want {
				t.Fatalf("decision %v, want %v", d, want)
			}
		}
	}

	held, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(t.Context())
	if _, err := held.Exec(t.Context(), `SELECT FROM wallet WHERE user_id = 'ann' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup // ends when all are answered, after held is
	asking.Go(func() { all(ask("ann", "first", 1), 1, booked) })
	w.eventually("the worker waits for the wallet", func() bool {
		return w.number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	})
	for i := range most / each {
		asking.Go(func() { all(ask("bob", fmt.Sprint("fill", i), each), each, booked) })
	}
	w.eventually("the inbox is full", func() bool {
		l.inbox.mu.Lock()
		defer l.inbox.mu.Unlock()
		return l.inbox.tips == most
	})
	all(ask("bob", "over", 1), 1, busy)
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	all(ask("bob", "over", 1), 1, booked)
	if got := w.balance("bob"); got != most-1 {
		t.Errorf("bob has %d beans left, want %d", got, most-1)
	}
}
