package loadtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"livecart/proto"
)

// played is a run that went well, without a server: two comments, one gift of three beans and a
// sale of two pieces to two of three buyers, one of whom paid. Three watchers saw everything; one
// of them was told of a comment as sampled, one as skipped.
func played() *smokeRun {
	r := &smokeRun{
		Smoke:    Smoke{Viewers: 4, Pieces: 2},
		comments: map[string]bool{"c1": true, "c2": true},
		host:     stranger("the host"),
		sale:     &proto.FlashSale{Id: "s", Sold: 2},
		payers:   1,
	}
	r.crowd = &crowd{people: []*person{stranger("gina"), stranger("ann"), stranger("bob"), stranger("cid")}, meter: NewMeter(time.Now())}
	r.wrongOrders, r.wrongBalances = r.askOrders, r.askBalances
	r.gifters, r.watchers = r.crowd.people[:1], r.crowd.people[1:]
	r.likesBefore = 5
	r.likes.Add(7)
	tell(r.host.history, welcome(3), stats(12, 6))
	for i, p := range r.watchers {
		tell(p.history, welcome(3), comment("c1"))
		switch i {
		case 0:
			tell(p.history, comment("c2"))
		case 1:
			p.history.record(&proto.ServerFrame{Sampled: 1})
		case 2:
			p.history.record(&proto.ServerFrame{Skipped: 1})
		}
		tell(p.history, gift("t1"), pinned(4), soldOut(5, "s"), ended(6, "s", 2))
	}
	gina, ann, bob, cid := r.gifters[0], r.watchers[0], r.watchers[1], r.watchers[2]
	r.tips = []tipRecord{{sender: gina, key: "g1", beans: 3, tipIDs: []string{"t1"}}}
	r.attempts = []attemptRecord{
		{buyer: ann, key: "k1", orderID: "o1", paid: true},
		{buyer: bob, key: "k2", orderID: "o2"},
		{buyer: cid, key: "k3", reason: proto.ReasonSoldOut},
		{buyer: ann, key: "k4", reason: proto.ReasonLimitPerBuyer},
	}
	return r
}

func stranger(id string) *person {
	return newPerson(Target{}, id, "", proto.Binary, NewMeter(time.Now()))
}

// records is what Postgres holds of a run that went well.
func records() (orders []orderRow, sold int64, tips []tipRow) {
	return []orderRow{{"o1", "ann", "k1", 1}, {"o2", "bob", "k2", 1}}, 2, []tipRow{{"t1", "gina", 3}}
}

// Each row breaks a run that went well in one way; the named check must see it and say so.
func TestChecksTurnRed(t *testing.T) {
	watcher := func(r *smokeRun) *History { return r.watchers[0].history }
	tests := []struct {
		fault  string
		change func(*smokeRun)
		check  string
		says   string
	}{
		{"swallowed comment", func(r *smokeRun) { delete(watcher(r).comments, "c2") }, "comments_accounted", "ann: 1 came + 0 sampled + 0 skipped is not 2"},
		{"comment twice", func(r *smokeRun) { tell(watcher(r), comment("c1")) }, "comments_accounted", "ann got comment c1 2 times"},
		{"foreign comment", func(r *smokeRun) { tell(watcher(r), comment("c9")) }, "comments_accounted", "comment c9 that nobody of the crowd wrote"},
		{"comment came and was sampled", func(r *smokeRun) { watcher(r).sampled++ }, "comments_accounted", "2 came + 1 sampled"},
		{"no comments", func(r *smokeRun) { r.comments = nil }, "comments_accounted", "nothing to compare: 0 comments"},
		{"nobody to compare", func(r *smokeRun) { r.watchers = nil }, "comments_accounted", "0 viewers who stayed"},
		{"lost connection", func(r *smokeRun) { watcher(r).lost(errors.New("reset")) }, "watchers_stayed", "ann lost the connection: reset"},
		{"came back", func(r *smokeRun) { r.watchers[0].reconnects++ }, "watchers_stayed", "ann lost the connection"},
		{"gap", func(r *smokeRun) { watcher(r).numbered = []int64{4, 6} }, "events_gapless", "ann: event 6 came after 4"},
		{"gap after the welcome", func(r *smokeRun) { watcher(r).numbered = []int64{5, 6} }, "events_gapless", "ann: event 5 came after 3"},
		{"repeat", func(r *smokeRun) { watcher(r).numbered = []int64{4, 5, 5, 6} }, "events_gapless", "ann: event 5 came after 5"},
		{"out of order", func(r *smokeRun) { watcher(r).numbered = []int64{5, 4, 6} }, "events_gapless", "ann: event 4 came after 5"},
		{"last one lost", func(r *smokeRun) { watcher(r).numbered = []int64{4, 5} }, "events_gapless", "ann: the last numbered event was 5, there are 6"},
		{"all lost", func(r *smokeRun) { watcher(r).numbered = nil }, "events_gapless", "ann: the last numbered event was 3, there are 6"},
		{"last one lost to all", func(r *smokeRun) { tell(r.host.history, stats(12, 7)) }, "events_gapless", "there are 7; "},
		{"no numbered event", func(r *smokeRun) {
			r.host.history = newHistory()
			for _, p := range r.watchers {
				p.history.numbered = nil
			}
		}, "events_gapless", "no numbered event came at all"},
		{"like lost", func(r *smokeRun) { tell(r.host.history, stats(11, 6)) }, "likes_exact", "7 likes were acknowledged, the total rose by 6"},
		{"like doubled", func(r *smokeRun) { tell(r.host.history, stats(13, 6)) }, "likes_exact", "the total rose by 8"},
		{"two outcomes", func(r *smokeRun) { r.note("flash_buy %s was o1 and then o2", "k1") }, "one_key_one_outcome", "k1 was o1 and then o2"},
		{"oversell", func(r *smokeRun) { r.attempts[2].orderID = "o3" }, "sale_sold_exactly", "3 orders were confirmed for 2 pieces"},
		{"undersell", func(r *smokeRun) { r.attempts[1].orderID, r.attempts[1].reason = "", proto.ReasonSoldOut }, "sale_sold_exactly", "1 orders were confirmed for 2 pieces"},
		{"one order for two", func(r *smokeRun) { r.attempts[1].orderID = "o1" }, "sale_sold_exactly", "order o1 answers two attempts"},
		{"over the limit", func(r *smokeRun) { r.attempts[1].buyer = r.attempts[0].buyer }, "sale_sold_exactly", "ann got 2 pieces"},
		{"other refusal", func(r *smokeRun) { r.attempts[3].reason = proto.ReasonAttemptExpired }, "sale_sold_exactly", `1 attempts were refused with "attempt_expired"`},
		{"neither order nor refusal", func(r *smokeRun) { r.attempts[2].reason = "" }, "sale_sold_exactly", `1 attempts were refused with ""`},
		{"sale counts other", func(r *smokeRun) { r.sale.Sold = 1 }, "sale_sold_exactly", "the stopped sale says 1 sold of 2"},
		{"told of too many", func(r *smokeRun) { watcher(r).sold["s"] = 3 }, "sale_sold_exactly", "ann was told of 3 sold pieces"},
		{"not told sold out", func(r *smokeRun) { clear(watcher(r).soldOut) }, "sale_sold_exactly", "ann was not told that the sale is sold out"},
		{"payment not told", func(r *smokeRun) { r.attempts[0].paid = false }, "sale_sold_exactly", "0 of 1 buyers who paid were told so"},
		{"tip told twice", func(r *smokeRun) { tell(watcher(r), gift("t1")) }, "tips_told_once", "ann was told of tip t1 2 times"},
		{"tip told to nobody", func(r *smokeRun) { clear(watcher(r).tips) }, "tips_told_once", "ann was told of tip t1 0 times"},
		{"tip of nobody", func(r *smokeRun) { tell(watcher(r), gift("t9")) }, "tips_told_once", "tip t9 that nobody of the crowd sent"},
		{"gift is two tips", func(r *smokeRun) { r.tips[0].tipIDs = []string{"t1", "t2"} }, "tips_told_once", "gift g1 is tips [t1 t2]"},
		{"gift is no tip", func(r *smokeRun) { r.tips[0].tipIDs = nil }, "tips_told_once", "gift g1 is tips []"},
		{"one tip for two", func(r *smokeRun) {
			r.tips = append(r.tips, tipRecord{sender: r.gifters[0], key: "g2", tipIDs: []string{"t1"}})
		}, "tips_told_once", "tip t1 answers gifts g1 and g2"},
		{"no tips", func(r *smokeRun) { r.tips = nil }, "tips_told_once", "nothing to compare: 0 tips"},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			r := played()
			for _, c := range r.toldChecks() {
				if !c.OK || c.Detail == "" {
					t.Fatalf("a run that went well is red: %+v", c)
				}
			}
			tt.change(r)
			for _, c := range r.toldChecks() {
				if c.Name == tt.check {
					if c.OK || !strings.Contains(c.Detail+"; ", tt.says) {
						t.Errorf("%+v does not say %q", c, tt.says)
					}
					return
				}
			}
			t.Errorf("there is no check %s", tt.check)
		})
	}
}

// Those whose connection was lost have holes by nature; that alone must not turn other checks red.
func TestChecksLeaveOutWhoWasLost(t *testing.T) {
	r := played()
	p := r.watchers[0]
	p.history = newHistory()
	p.history.lost(errors.New("reset"))
	for _, c := range r.toldChecks() {
		if c.OK == (c.Name == "watchers_stayed") {
			t.Errorf("%+v", c)
		}
	}
}

func TestRecordChecksTurnRed(t *testing.T) {
	tests := []struct {
		fault  string
		change func(orders *[]orderRow, sold *int64, tips *[]tipRow)
		says   string
	}{
		{"oversell", func(o *[]orderRow, _ *int64, _ *[]tipRow) { *o = append(*o, orderRow{"o9", "dee", "k9", 1}) }, "oversold: 3 pieces are ordered, 2 were for sale"},
		{"order of nobody", func(o *[]orderRow, _ *int64, _ *[]tipRow) { *o = append(*o, orderRow{"o9", "dee", "k9", 1}) }, "order o9 of dee answers no attempt"},
		{"two pieces in one order", func(o *[]orderRow, _ *int64, _ *[]tipRow) { (*o)[0].pieces = 2 }, "oversold"},
		{"lost order", func(o *[]orderRow, _ *int64, _ *[]tipRow) { *o = (*o)[1:] }, "order o1 is recorded as []"},
		{"order twice", func(o *[]orderRow, _ *int64, _ *[]tipRow) { *o = append(*o, orderRow{"o1b", "ann", "k1", 1}) }, "order o1 is recorded as [o1 o1b]"},
		{"other order", func(o *[]orderRow, _ *int64, _ *[]tipRow) { (*o)[0].id = "o7" }, "order o1 is recorded as [o7]"},
		{"refused and recorded", func(o *[]orderRow, _ *int64, _ *[]tipRow) { *o = append(*o, orderRow{"o3", "cid", "k3", 1}) }, "an attempt refused with sold_out is order o3"},
		{"same key of another buyer", func(o *[]orderRow, _ *int64, _ *[]tipRow) { (*o)[0].buyer = "bob" }, "order o1 is recorded as []"},
		{"sale counts other", func(_ *[]orderRow, sold *int64, _ *[]tipRow) { *sold = 1 }, "the sale counts 1 sold, its orders 2"},
		{"doubled tip", func(_ *[]orderRow, _ *int64, tips *[]tipRow) { *tips = append(*tips, tipRow{"t1b", "gina", 3}) }, "tip t1b of gina was acknowledged to nobody"},
		{"lost tip", func(_ *[]orderRow, _ *int64, tips *[]tipRow) { *tips = nil }, "tip t1 was acknowledged and is not recorded"},
		{"other beans", func(_ *[]orderRow, _ *int64, tips *[]tipRow) { (*tips)[0].beans = 4 }, "tip t1 is 4 beans of gina, acknowledged were 3"},
		{"other sender", func(_ *[]orderRow, _ *int64, tips *[]tipRow) { (*tips)[0].sender = "ann" }, "tip t1 is 3 beans of ann"},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			r := played()
			orders, sold, tips := records()
			for _, c := range []Check{r.checkOrderRows("orders", orders, sold), r.checkTipRows("tips", tips)} {
				if !c.OK || c.Detail == "" {
					t.Fatalf("good records are red: %+v", c)
				}
			}
			tt.change(&orders, &sold, &tips)
			a, b := r.checkOrderRows("orders", orders, sold), r.checkTipRows("tips", tips)
			if a.OK == b.OK || !strings.Contains(a.Detail+b.Detail, tt.says) {
				t.Errorf("%+v and %+v do not say %q", a, b, tt.says)
			}
		})
	}
}

// asking serves those who ask about their orders and beans.
func asking(t *testing.T, r *smokeRun, orders map[string]*proto.Order, beans int64) {
	g := serve(t, func(g *gateway) {
		g.answer = func(c *socket, cmd *proto.Command) {
			switch {
			case cmd.GetWalletGet() != nil:
				c.ok(cmd, &proto.Ok{Value: &proto.Ok_WalletBalance{WalletBalance: &proto.WalletBalance{Balance: beans}}})
			case orders[cmd.GetOrderGet().GetOfRequestId()] != nil:
				c.ok(cmd, &proto.Ok{Value: &proto.Ok_Order{Order: orders[cmd.GetOrderGet().GetOfRequestId()]}})
			default:
				c.no(cmd, proto.ReasonNotFound)
			}
		}
	})
	for _, p := range r.crowd.people {
		p.target = g.target()
		if err := p.join(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.leave)
	}
}

func TestCheckOwnOrders(t *testing.T) {
	const paid, waiting = proto.OrderState_ORDER_STATE_PAID, proto.OrderState_ORDER_STATE_AWAITING_PAYMENT
	for name, tt := range map[string]struct {
		orders map[string]*proto.Order
		says   string
	}{
		"found":       {map[string]*proto.Order{"k1": {Id: "o1", State: paid}, "k2": {Id: "o2", State: waiting}}, ""},
		"lost":        {map[string]*proto.Order{"k1": {Id: "o1", State: paid}}, `the key of order o2 leads to "" (`},
		"another":     {map[string]*proto.Order{"k1": {Id: "o1", State: paid}, "k2": {Id: "o1", State: paid}}, `the key of order o2 leads to "o1"`},
		"paid or not": {map[string]*proto.Order{"k1": {Id: "o1", State: waiting}, "k2": {Id: "o2", State: waiting}}, "order o1 was told as paid and is ORDER_STATE_AWAITING_PAYMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			r := played()
			asking(t, r, tt.orders, 0)
			c := r.checkOwnOrders(t.Context())
			if c.OK != (tt.says == "") || !strings.Contains(c.Detail, tt.says) {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestCheckBalances(t *testing.T) {
	for name, tt := range map[string]struct {
		has, told int64
		says      string
	}{
		"adds up":        {697, 697, ""},
		"beans lost":     {696, 697, "gina has 696 beans, 700 came in and 3 were sent"},
		"told of others": {697, 696, "gina was last told of 696 beans, not 697"},
	} {
		t.Run(name, func(t *testing.T) {
			r := played()
			r.gifters[0].funds = beansEach
			r.pace.news = 1 // what is not told by now is not told
			asking(t, r, nil, tt.has)
			tell(r.gifters[0].history, balance(tt.told, 2))
			c := r.checkBalances(t.Context())
			if c.OK != (tt.says == "") || !strings.Contains(c.Detail, tt.says) {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestVerdictTellsTheFirstThree(t *testing.T) {
	var bad []string
	for i := range 5 {
		bad = append(bad, fmt.Sprintf("fault %d", i+1))
	}
	if c := verdict("x", bad[:3], "%d", 1); c.OK || c.Detail != "fault 1; fault 2; fault 3" {
		t.Errorf("%+v", c)
	}
	if c := verdict("x", bad, "%d", 1); c.OK || c.Detail != "fault 1; fault 2; fault 3; and 2 more" {
		t.Errorf("%+v", c)
	}
	if c := verdict("x", nil, "%d things", 1); !c.OK || c.Detail != "1 things" {
		t.Errorf("%+v", c)
	}
}

func TestFigures(t *testing.T) {
	r := played()
	r.crowd.people[0].reconnects = 3
	r.crowd.people[1].history.closes[1013] = 2
	r.crowd.people[2].history.closes[1001] = 1
	r.paid.Add(1)
	want := "[{comments 2} {likes 7} {gifts 1} {attempts 4} {paid 1} {reconnects 3} {frames 21} {closed with 1001 1} {closed with 1013 2}]"
	if got := fmt.Sprint(r.figures()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
