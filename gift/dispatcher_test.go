package gift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"livecart/proto"
	"livecart/session/bus"
)

// teller answers envelopes in a test's bubble; answer decides what the nth one gets.
type teller struct {
	sync.Mutex
	sizes  []int
	keys   [][]string
	answer func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error)
}

func (c *teller) ask(ctx context.Context, batch *proto.TipBatch) (*proto.TipDecisions, error) {
	c.Lock()
	n := len(c.sizes)
	c.sizes = append(c.sizes, len(batch.Tips))
	c.keys = append(c.keys, columns(batch.Tips, (*proto.TipRequest).GetKey))
	c.Unlock()
	return c.answer(ctx, n, batch)
}

func allBooked(batch *proto.TipBatch) *proto.TipDecisions {
	return decisions(batch, booked)
}

func decisions(batch *proto.TipBatch, outcome proto.TipOutcome) *proto.TipDecisions {
	reply := new(proto.TipDecisions)
	for _, tip := range batch.Tips {
		reply.Decisions = append(reply.Decisions, &proto.TipDecision{Key: tip.Key, Outcome: outcome})
	}
	return reply
}

// bubble runs a dispatcher against a teller in a synctest bubble.
func bubble(t *testing.T, answer func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error), test func(t *testing.T, d *dispatcher, c *teller)) {
	synctest.Test(t, func(t *testing.T) {
		c := &teller{answer: answer}
		d := newDispatcher(c.ask, time.Second, 10*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go d.run(ctx)
		defer func() { cancel(); <-d.stopped }()
		test(t, d, c)
	})
}

func tipOf(key string) *proto.TipRequest {
	return &proto.TipRequest{Sender: user("ann"), Key: key}
}

func TestFirstTipGoesAtOnceOthersGather(t *testing.T) {
	bubble(t, func(_ context.Context, _ int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		time.Sleep(100 * time.Millisecond)
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		var senders sync.WaitGroup
		send := func(key string) {
			senders.Go(func() {
				decision, err := d.send(t.Context(), tipOf(key))
				if err != nil || decision.Key != key {
					t.Errorf("tip %s: %v, %v", key, decision, err)
				}
			})
			synctest.Wait()
		}
		for i := range 452 {
			send(fmt.Sprint(i))
		}
		senders.Wait()
		if want := []int{1, 200, 200, 51}; !slices.Equal(c.sizes, want) {
			t.Errorf("envelopes of %v tips, want %v", c.sizes, want)
		}
	})
}

func TestLostAnswerIsAskedAgain(t *testing.T) {
	bubble(t, func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		if n < 2 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		start := time.Now()
		decision, err := d.send(t.Context(), tipOf("k"))
		if err != nil || decision.Outcome != booked {
			t.Fatalf("%v, %v", decision, err)
		}
		waited := time.Since(start)
		if waited < 2*time.Second || waited > 2*time.Second+150*time.Millisecond {
			t.Errorf("answered after %v, want two timeouts of 1 s and pauses of at most 50 and 100 ms", waited)
		}
		if len(c.keys) != 3 || !slices.Equal(c.keys[0], c.keys[2]) {
			t.Errorf("asked %v", c.keys)
		}
	})
}

// A worker that is full says nothing about an envelope that another one may have taken before.
func TestBusyAfterALostAnswerIsNoOutcome(t *testing.T) {
	bubble(t, func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		switch n {
		case 0:
			<-ctx.Done()
			return nil, ctx.Err()
		case 1:
			return decisions(batch, busy), nil
		}
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		if decision, err := d.send(t.Context(), tipOf("k")); err != nil || decision.Outcome != booked {
			t.Errorf("got %v, %v after envelopes of %v tips", decision, err, c.sizes)
		}
		if len(c.sizes) != 3 {
			t.Errorf("asked %d times", len(c.sizes))
		}
	})
	bubble(t, func(_ context.Context, _ int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		return decisions(batch, busy), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		if decision, err := d.send(t.Context(), tipOf("k")); err != nil || decision.Outcome != busy {
			t.Errorf("got %v, %v at first", decision, err)
		}
	})
}

func TestSenderStopsWaiting(t *testing.T) {
	tests := []struct {
		name   string
		answer func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error)
		want   error
	}{
		{"no worker", func(context.Context, int, *proto.TipBatch) (*proto.TipDecisions, error) {
			return nil, bus.ErrNoResponders
		}, ErrTryAgain},
		{"no NATS", func(context.Context, int, *proto.TipBatch) (*proto.TipDecisions, error) {
			return nil, bus.ErrDisconnected
		}, ErrTryAgain},
		{"no answer", func(ctx context.Context, _ int, _ *proto.TipBatch) (*proto.TipDecisions, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, ErrPending},
		{"a worker without database", func(_ context.Context, _ int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
			return decisions(batch, tryAgain), nil
		}, ErrPending},
		{"an answer to another question", func(context.Context, int, *proto.TipBatch) (*proto.TipDecisions, error) {
			return new(proto.TipDecisions), nil
		}, ErrPending},
		{"one lost answer, then no worker", func(ctx context.Context, n int, _ *proto.TipBatch) (*proto.TipDecisions, error) {
			if n == 0 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, bus.ErrNoResponders
		}, ErrPending},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.answer, func(t *testing.T, d *dispatcher, _ *teller) {
				start := time.Now()
				_, err := d.send(t.Context(), tipOf("k"))
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if waited := time.Since(start); waited != 10*time.Second {
					t.Errorf("after %v, want 10 s", waited)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				d.mu.Lock()
				defer d.mu.Unlock()
				if len(d.waiting) != 0 {
					t.Errorf("%d tips still wait", len(d.waiting))
				}
			})
		})
	}
}

func TestWorkerComesBack(t *testing.T) {
	bubble(t, func(_ context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		if n < 5 {
			return nil, bus.ErrNoResponders
		}
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, _ *teller) {
		if decision, err := d.send(t.Context(), tipOf("k")); err != nil || decision.Outcome != booked {
			t.Errorf("%v, %v", decision, err)
		}
	})
}

func TestUndecidedTipsGoFirst(t *testing.T) {
	bubble(t, func(_ context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		time.Sleep(10 * time.Millisecond)
		reply := allBooked(batch)
		if n == 1 { // of a, b, c the worker leaves b open
			reply.Decisions[1].Outcome = tryAgain
		}
		return reply, nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		d.pause = func(int) time.Duration { return 50 * time.Millisecond }
		var senders sync.WaitGroup
		for _, key := range []string{"first", "a", "b", "c"} {
			senders.Go(func() {
				if _, err := d.send(t.Context(), tipOf(key)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(25 * time.Millisecond) // the second envelope is answered
		senders.Go(func() {
			if _, err := d.send(t.Context(), tipOf("late")); err != nil {
				t.Error(err)
			}
		})
		senders.Wait()
		if len(c.keys) != 3 || !slices.Equal(c.keys[2], []string{"b", "late"}) {
			t.Errorf("asked %v", c.keys)
		}
	})
}

// A worker froze with an envelope: it holds up the tips of its senders, and no other tip for long.
func TestLostAnswerHoldsUpNobodyElse(t *testing.T) {
	bubble(t, func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		if n == 0 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		time.Sleep(time.Millisecond)
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		start := time.Now()
		took := map[string]time.Duration{}
		var mu sync.Mutex
		var senders sync.WaitGroup
		send := func(sender, key string) {
			senders.Go(func() {
				if _, err := d.send(t.Context(), &proto.TipRequest{Sender: user(sender), Key: key}); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				mu.Lock()
				defer mu.Unlock()
				took[key] = time.Since(start)
			})
			synctest.Wait()
		}
		send("ann", "a1")
		send("bo", "b1")
		send("ann", "a2")
		send("cy", "c1")
		senders.Wait()
		if took["b1"] != stallAfter+time.Millisecond || took["c1"] != took["b1"] {
			t.Errorf("the others' tips took %v and %v", took["b1"], took["c1"])
		}
		if took["a1"] < time.Second || took["a2"] < took["a1"] {
			t.Errorf("ann's tips took %v and %v", took["a1"], took["a2"])
		}
		if want := [][]string{{"a1"}, {"b1", "c1"}, {"a1", "a2"}}; fmt.Sprint(c.keys) != fmt.Sprint(want) {
			t.Errorf("asked %v, want %v", c.keys, want)
		}
	})
}

// No worker answers anything: envelopes under way are bounded, and the rest was seen by nobody.
func TestEnvelopesUnderWayAreBounded(t *testing.T) {
	var underWay, most int
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		underWay += by
		most = max(most, underWay)
	}
	bubble(t, func(ctx context.Context, _ int, _ *proto.TipBatch) (*proto.TipDecisions, error) {
		count(1)
		defer count(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(t *testing.T, d *dispatcher, c *teller) {
		d.timeout = 5 * time.Second
		var senders sync.WaitGroup
		errs := make([]error, maxFlights+1)
		for i := range errs {
			senders.Go(func() {
				_, errs[i] = d.send(t.Context(), &proto.TipRequest{Sender: user(fmt.Sprint(i)), Key: "k"})
			})
			time.Sleep(stallAfter + time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		d.mu.Lock()
		waiting := len(d.waiting)
		d.mu.Unlock()
		c.Lock()
		asked := len(c.sizes)
		c.Unlock()
		if waiting != 1 || asked != maxFlights {
			t.Errorf("%d tips wait while %d envelopes were asked", waiting, asked)
		}
		senders.Wait()
		for i, err := range errs {
			if !errors.Is(err, ErrPending) {
				t.Errorf("sender %d: %v, want pending", i, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if most != maxFlights {
			t.Errorf("%d envelopes were under way at a time, want %d", most, maxFlights)
		}
	})
}

func TestWaitingTipsAreBounded(t *testing.T) {
	bubble(t, func(ctx context.Context, _ int, _ *proto.TipBatch) (*proto.TipDecisions, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(t *testing.T, d *dispatcher, _ *teller) {
		var senders sync.WaitGroup
		send := func() { senders.Go(func() { d.send(t.Context(), tipOf("k")) }) }
		send() // goes at once
		synctest.Wait()
		for range maxWaiting {
			send()
		}
		synctest.Wait()
		if _, err := d.send(t.Context(), tipOf("k")); !errors.Is(err, ErrBusy) {
			t.Errorf("tip %d: %v, want busy", maxWaiting+2, err)
		}
		senders.Wait()
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &teller{answer: func(_ context.Context, _ int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
			time.Sleep(500 * time.Millisecond)
			return allBooked(batch), nil
		}}
		d := newDispatcher(c.ask, time.Second, 10*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go d.run(ctx)
		errs := make([]error, 2)
		var senders sync.WaitGroup
		for i := range errs {
			senders.Go(func() { _, errs[i] = d.send(t.Context(), tipOf(fmt.Sprint(i))) })
			synctest.Wait()
		}
		cancel()
		senders.Wait()
		if errs[0] != nil {
			t.Errorf("the tip under way: %v, want its outcome", errs[0])
		}
		if !errors.Is(errs[1], ErrTryAgain) {
			t.Errorf("the waiting tip: %v, want try_again", errs[1])
		}
		if _, err := d.send(t.Context(), tipOf("2")); !errors.Is(err, ErrTryAgain) {
			t.Errorf("a tip after the stop: %v, want try_again", err)
		}
	})
}

func TestSenderLeaves(t *testing.T) {
	bubble(t, func(ctx context.Context, n int, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		time.Sleep(500 * time.Millisecond)
		return allBooked(batch), nil
	}, func(t *testing.T, d *dispatcher, c *teller) {
		ctx, cancel := context.WithCancel(t.Context())
		errs := make([]error, 2)
		var senders sync.WaitGroup
		for i := range errs {
			senders.Go(func() { _, errs[i] = d.send(ctx, tipOf(fmt.Sprint(i))) })
			synctest.Wait()
		}
		cancel()
		senders.Wait()
		if !errors.Is(errs[0], ErrPending) || !errors.Is(errs[1], ErrTryAgain) {
			t.Errorf("%v, %v; want pending for the one under way, try_again for the other", errs[0], errs[1])
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(c.sizes) != 1 {
			t.Errorf("envelopes of %v, want that of the first tip alone", c.sizes)
		}
	})
}
