package cart

import (
	"fmt"
	"sync"
	"testing"

	"livecart/proto"
)

// Workers that cannot go on take 4,096 attempts in, and say busy to the next; the 4,096 are decided when
// they can.
func TestInboxEdgeOverNATS(t *testing.T) {
	const each = 256
	s := newStall(t, 3, 1)
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	s.background(l.run)
	ask := func(name string, n int) *proto.FlashDecisions {
		batch, reply := new(proto.FlashBatch), new(proto.FlashDecisions)
		for i := range n {
			batch.Attempts = append(batch.Attempts, &proto.FlashAttempt{
				SaleId: s.sale.Id, RoomId: "demo", Buyer: &proto.User{Id: fmt.Sprint(name, "-", i)}, Key: "k", Quantity: 1, Hash: []byte("one"),
			})
		}
		s.ok(s.cfg.Bus.Request(t.Context(), busFlash, batch, reply))
		if len(reply.Decisions) != n {
			t.Errorf("%s: %d decisions of %d", name, len(reply.Decisions), n)
		}
		return reply
	}
	s.until("the ledger answers", func() bool {
		return s.cfg.Bus.Request(t.Context(), busFlash, new(proto.FlashBatch), new(proto.FlashDecisions)) == nil
	})

	held, err := s.pool().Begin(t.Context())
	s.must(err)
	defer held.Rollback(t.Context())
	_, err = held.Exec(t.Context(), `SELECT FROM sale WHERE id = $1 FOR UPDATE`, s.sale.Id)
	s.must(err)
	var mu sync.Mutex
	outcomes := map[proto.FlashOutcome]int{}
	var asking sync.WaitGroup // ends when all are answered, after held is
	wave := func(name string, n int) {
		asking.Go(func() {
			reply := ask(name, n)
			mu.Lock()
			defer mu.Unlock()
			for _, d := range reply.Decisions {
				outcomes[d.Outcome]++
			}
		})
	}
	for i := range ledgerWorkers {
		wave(fmt.Sprint("first", i), 1)
		s.until("one more worker waits for the sale", func() bool {
			return scan[int](s.market, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > i
		})
	}
	for i := range inboxSize / each {
		wave(fmt.Sprint("fill", i), each)
	}
	s.until("the inbox is full", func() bool {
		l.inbox.mu.Lock()
		defer l.inbox.mu.Unlock()
		return l.inbox.size == inboxSize
	})
	s.expect("one too many", ask("over", 1).Decisions[0].Outcome, outcomeBusy)
	s.must(held.Rollback(t.Context()))
	asking.Wait()
	s.expect("served", fmt.Sprint(outcomes[outcomeOrdered], outcomes[outcomeSoldOut], len(outcomes)), fmt.Sprint(3, inboxSize+ledgerWorkers-3, 2))
	s.expect("one too many, later", ask("over", 1).Decisions[0].Outcome, outcomeSoldOut)
}
