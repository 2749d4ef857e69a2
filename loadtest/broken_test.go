package loadtest

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

// once is true for the nth command of a kind.
func once(kind string, n int64) func(*proto.Command) bool {
	var seen atomic.Int64
	return func(cmd *proto.Command) bool { return cmd.Kind() == kind && seen.Add(1) == n }
}

// breaks has a room do something wrong, under its lock, with the nth command of a kind; the command itself is
// carried out.
func breaks(kind string, n int64, wrong func(r *room)) func(*room) {
	return func(r *room) {
		is := once(kind, n)
		r.onCommand = func(cmd *proto.Command) bool {
			if is(cmd) {
				r.mu.Lock()
				defer r.mu.Unlock()
				wrong(r)
			}
			return false
		}
	}
}

// mustFind plays in a broken room and holds that the check of a name fails with these words, and the run with it.
func mustFind(t *testing.T, make func(*testing.T, Target) Play, change func(*room), check, says string) {
	t.Helper()
	_, target := openRoom(t, change)
	p := make(t, target)
	p.pace.news = time.Second
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(result.Checks, func(c Check) bool { return c.Name == check })
	if i < 0 || result.Checks[i].Skipped != "" || result.Checks[i].OK || !strings.Contains(result.Checks[i].Detail, says) {
		t.Fatalf("%s did not fail with %q: %+v, invalid: %v", check, says, result.Checks, result.Invalid)
	}
	if result.Passed {
		t.Error("passed all the same")
	}
}

// repeating is an evening in which half of the gifts are sent again.
func repeating(t *testing.T, target Target) Play {
	p := evening(t, target)
	p.Plan.Repeats = 0.5
	return p
}

func TestBrokenServerOversellsByOne(t *testing.T) {
	t.Parallel()
	mustFind(t, rush, breaks("flash_buy", 1, func(r *room) { r.sale.Quantity++ }),
		"sale_sold_exactly", "5 orders were confirmed for 4 pieces")
}

// One viewer of all is not told of one numbered event; everybody else is.
func TestBrokenServerDropsOneDurableEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, check, says string
		to                func(user string) bool
	}{
		{"to one who stays", "events_gapless", "came after", func(user string) bool { return strings.HasSuffix(user, "-3") }},
		{"to one who comes and goes", "visitors_gapless", "came after", func(user string) bool { return strings.HasSuffix(user, "-11") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mustFind(t, lasting, func(r *room) {
				tenth := once("product_push", 10)
				r.onCommand = func(cmd *proto.Command) bool {
					if tenth(cmd) {
						r.mu.Lock()
						defer r.mu.Unlock()
						r.passOver = tt.to
					}
					return false
				}
			}, tt.check, tt.says)
		})
	}
}

// lasting is an evening of a host who does much, in a room that nobody leaves.
func lasting(t *testing.T, target Target) Play {
	p := evening(t, target)
	p.Plan.Stay, p.Plan.Returns, p.Plan.Gifts = 0, 0, 0
	return p
}

func TestBrokenServerForgetsOneDurableEventOnResume(t *testing.T) {
	t.Parallel()
	mustFind(t, evening, func(r *room) { r.forgets = 1 }, "resumed_gapless", "event")
}

func TestBrokenServerDoublesOneTip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, check, says string
		change            func(*room)
	}{
		{"told", "tips_told_once", "was told of tip t1 2 times", breaks("gift_send", 3, func(r *room) {
			r.tellAll(&proto.Event{Event: &proto.Event_GiftSent{GiftSent: &proto.GiftSent{TipIds: []string{"t1"}}}})
		})},
		{"charged", "balances_add_up", "beans", breaks("wallet_get", 1, func(r *room) {
			for user := range r.beans {
				r.beans[user] -= 3
			}
		})},
		{"when it is sent again", "one_key_one_outcome", "and then tip", func(r *room) {
			r.onCommand = func(cmd *proto.Command) bool {
				if cmd.Kind() == "gift_send" {
					r.mu.Lock()
					defer r.mu.Unlock()
					clear(r.replies)
				}
				return false
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mustFind(t, repeating, tt.change, tt.check, tt.says)
		})
	}
}

// A server that takes 10 ms for each comment, one after the other, and gets one each 5 ms, is told late by all
// those that wait: who only asks again when the last answer is there would see 10 ms.
func TestBrokenServerQueuesReplies(t *testing.T) {
	t.Parallel()
	const each = 10 * time.Millisecond
	_, target := openRoom(t, func(r *room) {
		queue := make(chan struct{}, 1)
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "chat_send" {
				queue <- struct{}{}
				time.Sleep(each) // the work
				<-queue
			}
			return false
		}
	})
	s := stages(Stage{100 * time.Millisecond, 1}, Stage{time.Second, 1})
	s.Publish = 200
	var limits []Threshold
	for _, text := range []string{"p95(reply.chat_send) < 200ms", "p50(delivery.chat) < 50ms", "p99(lateness) < 1m"} {
		limit, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, limit)
	}
	p := Play{Plan: plan(t, s, 40), Seed: 3, Target: target, MostLate: time.Minute, Thresholds: limits, pace: pace{quiet: 50 * time.Millisecond, news: 5 * time.Second}}
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var kept []bool
	for _, limit := range result.Thresholds {
		kept = append(kept, limit.OK)
	}
	if !slices.Equal(kept, []bool{false, false, true}) || result.Passed || len(result.Invalid) > 0 {
		t.Errorf("%+v, invalid: %v", result.Thresholds, result.Invalid)
	}
	for _, c := range result.Checks {
		if c.Skipped == "" && !c.OK {
			t.Errorf("%+v", c)
		}
	}
}

// A server that breaks another promise is found out by the check of that promise.
func TestPlayFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, check, says string
		play              func(*testing.T, Target) Play
		change            func(*room)
	}{
		{"every comment refused", "commands_accepted", "chat_send was carried out", evening, func(r *room) { r.refuses = "chat_send" }},
		{"every like refused", "commands_accepted", "like_send was carried out", evening, func(r *room) { r.refuses = "like_send" }},
		{"every gift refused", "commands_accepted", "gift_send was carried out", evening, func(r *room) { r.refuses = "gift_send" }},
		{"a comment of nobody", "comments_accounted", "that nobody of the crowd wrote", evening, breaks("chat_send", 3, func(r *room) {
			r.tellAll(&proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Id: "ghost"}}})
		})},
		{"a comment that is not counted as left out", "comments_accounted", "is not", evening, breaks("chat_send", 3, func(r *room) {
			r.silent = true
		})},
		{"a like too many", "likes_exact", "the total rose by", evening, breaks("like_send", 3, func(r *room) { r.likes++ })},
		{"connections lost", "visitors_stayed", "viewer", lasting, breaks("like_send", 5, func(r *room) {
			for c := range r.sockets {
				c.Close()
			}
		})},
		{"the whole room cut off", "watchers_stayed", "lost the connection", lasting, breaks("like_send", 5, func(r *room) {
			for c := range r.sockets {
				c.Close()
			}
		})},
		{"somebody not let in", "all_joined", "503 Service Unavailable", evening, func(r *room) { r.full = 15 }},
		{"commands without an answer", "outcomes_known", "the connection ended before the reply", func(t *testing.T, target Target) Play {
			p := evening(t, target)
			p.pace.patience = time.Second // of those who stay, who ask again
			return p
		}, func(r *room) { r.cuts = "like_send" }},
		{"somebody counted who is not there", "viewers_exact", "10 viewers are counted, 9 are there", evening, breaks("like_send", 3, func(r *room) { r.ghosts++ })},
		{"a visit not counted", "visits_exact", "visits were counted", evening, breaks("like_send", 3, func(r *room) { r.visits-- })},
		{"a numbered event that nobody is told of", "visitors_gapless", "event", lasting, breaks("like_send", 5, func(r *room) { r.seq++ })},
		{"a move of the host that is never told", "host_told_once", "which was done", evening, breaks("product_push", 3, func(r *room) { r.mute = true })},
		{"a move of the host told twice", "host_told_once", "which was done", evening, breaks("product_push", 3, func(r *room) {
			r.tellAllNumbered(&proto.Event{Event: &proto.Event_ProductPushed{ProductPushed: &proto.ProductPushed{Product: &proto.Product{Id: "p"}}}})
		})},
		{"a move of nobody", "host_told_once", "which nobody did", evening, breaks("product_push", 3, func(r *room) {
			r.tellAllNumbered(&proto.Event{Event: &proto.Event_ProductPushed{ProductPushed: &proto.ProductPushed{Product: &proto.Product{Id: "x"}}}})
		})},
		{"orders before the start", "nobody_served_early", "before the start", rush, func(r *room) { r.early = true }},
		{"an order not found by its key", "orders_found_by_key", "leads to", rush, breaks("order_get", 1, func(r *room) { clear(r.orders) })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mustFind(t, tt.play, tt.change, tt.check, tt.says)
		})
	}
}
