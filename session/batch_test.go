package session

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"livecart/proto"
)

func gift(user, combo, tip string, delta, count int64, tier int32) *proto.Event {
	return &proto.Event{Event: &proto.Event_GiftSent{GiftSent: &proto.GiftSent{
		TipIds: []string{tip}, User: &proto.User{Id: user}, GiftId: "rose", ComboId: combo,
		Delta: delta, ComboCount: count, ComboEndMs: count * 10, Beans: delta * 5, Tier: tier,
	}}}
}

func texts(events []*proto.Event) (s []string) {
	for _, ev := range events {
		if m := ev.GetChatMessage(); m != nil {
			s = append(s, m.Text)
		}
	}
	return s
}

func TestBatchMergesTipsOfACombo(t *testing.T) {
	var b batch
	first := gift("vera", "c1", "t1", 1, 1, 1)
	before := proto.Clone(first)
	for _, ev := range []*proto.Event{
		first, gift("walt", "c1", "t2", 7, 7, 1), gift("vera", "c1", "t3", 2, 3, 1),
		gift("vera", "", "t4", 1, 1, 1), gift("vera", "", "t5", 1, 1, 1), gift("vera", "c1", "t6", 1, 2, 1),
	} {
		b.add(ev)
	}
	if b.urgent {
		t.Error("small gifts do not wait for the tick")
	}
	events, _, _ := b.take(-1, byRole)
	if len(events) != 4 {
		t.Fatalf("%d events: %v", len(events), events)
	}
	sum := events[0].GetGiftSent()
	if fmt.Sprint(sum.TipIds) != "[t1 t3 t6]" || sum.Delta != 4 || sum.Beans != 20 || sum.ComboCount != 3 || sum.ComboEndMs != 30 {
		t.Errorf("merged to %v", sum)
	}
	if !proto.Equal(first, before) {
		t.Error("the merge changed an event that others read")
	}
}

func TestBatchKeepsTheLatestCounters(t *testing.T) {
	stock := func(sale string, epoch, rev, left int64) *proto.Event {
		return &proto.Event{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: sale, Epoch: epoch, Rev: rev, Available: left}}}
	}
	likes := func(delta, total int64) *proto.Event {
		return &proto.Event{Event: &proto.Event_LikeTotal{LikeTotal: &proto.LikeTotal{Delta: delta, Total: total}}}
	}
	var b batch
	for _, ev := range []*proto.Event{
		stock("s1", 1, 5, 10), likes(3, 3), stock("s2", 1, 1, 99), stock("s1", 1, 4, 11), stock("s1", 2, 1, 50), likes(4, 7),
	} {
		b.add(ev)
	}
	events, _, _ := b.take(-1, byRole)
	if len(events) != 3 {
		t.Fatalf("%d events: %v", len(events), events)
	}
	if got := events[0].GetFlashStock(); got.Available != 50 {
		t.Errorf("s1 has %v", got)
	}
	if got := events[1].GetLikeTotal(); got.Delta != 7 || got.Total != 7 {
		t.Errorf("likes are %v", got)
	}
}

func TestBatchIsUrgentForStateAndBigGifts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ev     *proto.Event
		urgent bool
	}{
		{"comment", comment("vera", 1, "x"), false},
		{"small gift", gift("vera", "", "t", 1, 1, 1), false},
		{"middle gift", gift("vera", "", "t", 1, 1, 2), false},
		{"big gift", gift("vera", "", "t", 1, 1, 3), true},
		{"pin", &proto.Event{Seq: 1, Event: &proto.Event_ChatPinned{ChatPinned: new(proto.ChatPinned)}}, true},
		{"stock", &proto.Event{Event: &proto.Event_FlashStock{FlashStock: new(proto.FlashStock)}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b batch
			b.add(tc.ev)
			if b.urgent != tc.urgent {
				t.Errorf("urgent = %v", b.urgent)
			}
		})
	}
}

func byRole(m *proto.ChatMessage) int {
	if m.GetUser().GetRole().Moderates() {
		return rankFirst
	}
	return rankOther
}

func TestSamplingPrefersThoseWhoRunTheRoomThenPatrons(t *testing.T) {
	_, a := loneShard(t, GatewayConfig{})
	a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
	pinned := comment("walt", proto.Role_ROLE_VIEWER, "pinned")
	a.snap.w.Pinned = &proto.ChatPinned{Message: pinned.GetChatMessage()}
	a.accept(gift("gina", "", "tip", 1, 1, 1), time.Now())
	a.bought("bob")
	a.batch = batch{}
	for n := range 10 {
		a.batch.add(comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(n)))
	}
	for _, ev := range []*proto.Event{
		comment("gina", proto.Role_ROLE_VIEWER, "gave"), comment("bob", proto.Role_ROLE_VIEWER, "bought"), pinned,
		comment("hanna", proto.Role_ROLE_HOST, "host"), comment("mo", proto.Role_ROLE_MODERATOR, "moderator"),
	} {
		a.batch.add(ev)
	}
	whole := a.batch
	for budget, want := range map[int]string{
		7: "[4 9 gave bought pinned host moderator]",
		5: "[gave bought pinned host moderator]",
		4: "[bought pinned host moderator]",
		3: "[pinned host moderator]",
		0: "[]",
	} {
		a.batch = whole
		events, chats, sampled := a.batch.take(budget, a.rank())
		if got := texts(events); fmt.Sprint(got) != want || chats != budget || sampled != 15-budget {
			t.Errorf("of %d places: %v, %d kept and %d left out", budget, got, chats, sampled)
		}
	}
}

func TestWhoPaysForAnOrderBecomesAPatronOfItsRoom(t *testing.T) {
	w := newWorld(t)
	g := w.gateway()
	g.dial(t, dial{}).welcome()
	a := g.hub.find("demo")
	order := func(user, room string, state proto.OrderState) *proto.PrivateEvent {
		return &proto.PrivateEvent{UserId: user, Event: &proto.Event{Event: &proto.Event_OrderUpdated{
			OrderUpdated: &proto.OrderUpdated{Order: &proto.Order{RoomId: room, State: state}},
		}}}
	}
	w.must(w.bus.PublishPrivate(
		order("unpaid", "demo", proto.OrderState_ORDER_STATE_AWAITING_PAYMENT),
		order("elsewhere", "other", proto.OrderState_ORDER_STATE_PAID),
		order("bob", "demo", proto.OrderState_ORDER_STATE_PAID),
	))
	eventually(t, "bob is a patron", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.patrons.has("bob")
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.patrons.has("unpaid") || a.patrons.has("elsewhere") {
		t.Error("so are others")
	}
}

// Whatever comes, every comment is either sent or counted, nothing else is lost, and order holds.
func TestSamplingAccountsForEveryComment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b batch
		var all, states []string
		host := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 60).Draw(t, "kinds")
		for i, kind := range host {
			switch kind {
			case 0:
				states = append(states, fmt.Sprint(i))
				b.add(&proto.Event{Seq: int64(i + 1), Event: &proto.Event_ChatDeleted{ChatDeleted: &proto.ChatDeleted{MessageId: fmt.Sprint(i)}}})
			case 1:
				all = append(all, fmt.Sprint(i))
				b.add(comment("hanna", proto.Role_ROLE_HOST, fmt.Sprint(i)))
			default:
				all = append(all, fmt.Sprint(i))
				b.add(comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(i)))
			}
		}
		budget := rapid.IntRange(-1, 70).Draw(t, "budget")
		events, chats, sampled := b.take(budget, byRole)
		got := texts(events)
		if len(got) != chats || chats+sampled != len(all) {
			t.Fatalf("%d sent, said %d; %d left out of %d", len(got), chats, sampled, len(all))
		}
		if budget >= 0 && chats > budget {
			t.Fatalf("%d sent with a budget of %d", chats, budget)
		}
		if budget < 0 && sampled > 0 || budget >= len(all) && sampled > 0 {
			t.Fatalf("%d left out with a budget of %d for %d", sampled, budget, len(all))
		}
		at := 0
		for _, text := range got {
			for at < len(all) && all[at] != text {
				at++
			}
			if at == len(all) {
				t.Fatalf("%v is out of order in %v", got, all)
			}
		}
		if n := len(events) - len(got); n != len(states) {
			t.Fatalf("%d of %d numbered events", n, len(states))
		}
		if !b.empty() {
			t.Fatal("the batch is not empty")
		}
	})
}

func TestChatBudgetHoldsTheRateAndAllowsASecondsBurst(t *testing.T) {
	now := time.Unix(1000, 0)
	c := chatBudget{perSecond: 20}
	if got := c.left(now); got != 20 {
		t.Fatalf("a quiet room may send %d at once", got)
	}
	c.spend(20)
	sent := 0
	for range 200 { // ten seconds of flushes
		now = now.Add(50 * time.Millisecond)
		n := min(c.left(now), 7)
		c.spend(n)
		sent += n
	}
	if sent != 200 {
		t.Errorf("%d comments in ten seconds", sent)
	}
	free := chatBudget{}
	if free.left(now) != -1 {
		t.Error("0 a second does not mean all")
	}
}

func TestFiguresAloneWaitLongerInALargeRoom(t *testing.T) {
	stats := &proto.Event{Event: &proto.Event_RoomStats{RoomStats: new(proto.RoomStats)}}
	likes := &proto.Event{Event: &proto.Event_LikeTotal{LikeTotal: new(proto.LikeTotal)}}
	stock := &proto.Event{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: "s"}}}
	joiner := &proto.Event{Event: &proto.Event_MemberJoin{MemberJoin: new(proto.MemberJoin)}}
	said := comment("vera", proto.Role_ROLE_VIEWER, "hello")
	for _, tc := range []struct {
		name   string
		online int
		events []*proto.Event
		wait   time.Duration
	}{
		{"figures of a small room", 999, []*proto.Event{stats, likes}, 50 * time.Millisecond},
		// There the first section has its turn half a tick after the flush for all.
		{"of a larger one", 1000, []*proto.Event{stats, joiner, likes}, 900*time.Millisecond + 100*time.Millisecond/2},
		{"of a huge one", 5001, []*proto.Event{stats}, 1750*time.Millisecond + 250*time.Millisecond/2},
		{"a comment among them", 5001, []*proto.Event{stats, said, likes}, 250 * time.Millisecond / 2},
		{"figures after a comment", 5001, []*proto.Event{said, stats}, 250 * time.Millisecond / 2},
		{"stock", 5001, []*proto.Event{stock}, 250 * time.Millisecond / 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, a := loneShard(t, GatewayConfig{})
			a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
			begun := time.Unix(1000, 0)
			a.online = tc.online
			for i := range a.sections {
				s := &a.sections[i]
				s.online = tc.online / sections
				s.due = begun.Add(roomTick(0, a.online))
				if a.online >= sectionsFrom {
					s.due = s.nextTurn(begun, begun, roomTick(0, a.online), true)
				}
			}
			for _, ev := range tc.events {
				a.enqueue(ev, begun)
			}
			due, waiting := a.settle(begun)
			if waits := due.Sub(begun); !waiting || waits != tc.wait {
				t.Errorf("waits %v until %v", waiting, due.Sub(begun))
			}
		})
	}
}
