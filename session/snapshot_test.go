package session

import (
	"fmt"
	"strings"
	"testing"

	"livecart/proto"
)

func sale(id string, available int64) *proto.FlashSale {
	return &proto.FlashSale{Id: id, Quantity: 50, Available: available, Phase: proto.SalePhase_SALE_PHASE_OPEN}
}

func product(id string, version int64, prices ...int64) *proto.Product {
	p := &proto.Product{Id: id, Title: "v" + fmt.Sprint(version), Version: version, OnSale: true, Currency: "CNY"}
	for _, price := range prices {
		p.Listings = append(p.Listings, &proto.Listing{Price: price})
	}
	return p
}

func TestSnapshotFollowsEvents(t *testing.T) {
	said := func(id string) *proto.ChatMessage { return &proto.ChatMessage{Id: id} }
	entry := func(id string, at int32) *proto.ShelfEntry { return &proto.ShelfEntry{ProductId: id, Position: at} }
	for _, tc := range []struct {
		name   string
		before *proto.SessionWelcome
		events []*proto.Event
		want   *proto.SessionWelcome
	}{
		{
			"room state", &proto.SessionWelcome{Room: &proto.Room{Id: "demo", Version: 1}},
			[]*proto.Event{{Seq: 1, Event: &proto.Event_RoomState{RoomState: &proto.RoomState{Room: &proto.Room{Id: "demo", Version: 2}}}}},
			&proto.SessionWelcome{Seq: 1, Room: &proto.Room{Id: "demo", Version: 2}},
		},
		{
			"number already contained", &proto.SessionWelcome{Seq: 5, Room: &proto.Room{Version: 2}},
			[]*proto.Event{{Seq: 5, Event: &proto.Event_RoomState{RoomState: &proto.RoomState{Room: &proto.Room{Version: 1}}}}},
			&proto.SessionWelcome{Seq: 5, Room: &proto.Room{Version: 2}},
		},
		{
			"comments", &proto.SessionWelcome{Comments: []*proto.ChatMessage{said("a")}},
			[]*proto.Event{
				{Event: &proto.Event_ChatMessage{ChatMessage: said("b")}},
				{Event: &proto.Event_ChatMessage{ChatMessage: said("a")}},
				{Event: &proto.Event_ChatMessage{ChatMessage: said("c")}},
				{Seq: 1, Event: &proto.Event_ChatDeleted{ChatDeleted: &proto.ChatDeleted{MessageId: "b"}}},
			},
			&proto.SessionWelcome{Seq: 1, Comments: []*proto.ChatMessage{said("a"), said("c")}},
		},
		{
			"pin, then delete what is pinned", &proto.SessionWelcome{},
			[]*proto.Event{
				{Seq: 1, Event: &proto.Event_ChatPinned{ChatPinned: &proto.ChatPinned{Message: said("a")}}},
				{Seq: 2, Event: &proto.Event_ChatDeleted{ChatDeleted: &proto.ChatDeleted{MessageId: "a"}}},
			},
			&proto.SessionWelcome{Seq: 2},
		},
		{
			"unpin", &proto.SessionWelcome{Pinned: &proto.ChatPinned{Message: said("a")}},
			[]*proto.Event{{Seq: 1, Event: &proto.Event_ChatPinned{ChatPinned: new(proto.ChatPinned)}}},
			&proto.SessionWelcome{Seq: 1},
		},
		{
			"push and take away", &proto.SessionWelcome{},
			[]*proto.Event{
				{Seq: 1, Event: &proto.Event_ProductPushed{ProductPushed: &proto.ProductPushed{Product: product("p", 1)}}},
				{Seq: 2, Event: &proto.Event_ProductPushed{ProductPushed: new(proto.ProductPushed)}},
			},
			&proto.SessionWelcome{Seq: 2},
		},
		{
			"update of the product on show", &proto.SessionWelcome{OnShow: &proto.ProductPushed{Product: product("p", 1), UntilMs: 7}},
			[]*proto.Event{{Seq: 1, Event: &proto.Event_ProductUpdated{ProductUpdated: &proto.ProductUpdated{Product: product("p", 2)}}}},
			&proto.SessionWelcome{Seq: 1, OnShow: &proto.ProductPushed{Product: product("p", 2), UntilMs: 7}},
		},
		{
			"shelf: moved up", &proto.SessionWelcome{Shelf: []*proto.ShelfEntry{entry("a", 1), entry("b", 2), entry("c", 3)}, ShelfTotal: 3},
			[]*proto.Event{{Seq: 1, Event: &proto.Event_ProductUpdated{ProductUpdated: &proto.ProductUpdated{Product: product("c", 9, 30, 20), Position: 1}}}},
			&proto.SessionWelcome{Seq: 1, ShelfTotal: 3, Shelf: []*proto.ShelfEntry{
				{ProductId: "c", Position: 1, Title: "v9", Version: 9, OnSale: true, Currency: "CNY", PriceFrom: 20}, entry("a", 2), entry("b", 3),
			}},
		},
		{
			"shelf: taken off", &proto.SessionWelcome{Shelf: []*proto.ShelfEntry{entry("a", 1), entry("b", 2)}, ShelfTotal: 2},
			[]*proto.Event{{Seq: 1, Event: &proto.Event_ProductUpdated{ProductUpdated: &proto.ProductUpdated{Product: product("a", 2)}}}},
			&proto.SessionWelcome{Seq: 1, ShelfTotal: 1, Shelf: []*proto.ShelfEntry{entry("b", 1)}},
		},
		{
			"sale from start to end", &proto.SessionWelcome{Sales: []*proto.FlashSale{sale("x", 1)}},
			[]*proto.Event{
				{Seq: 1, Event: &proto.Event_FlashStarted{FlashStarted: &proto.FlashStarted{Sale: sale("s", 50)}}},
				{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: "s", Available: 7, Epoch: 1, Rev: 2}}},
				{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: "s", Available: 9, Epoch: 1, Rev: 1}}},
				{Seq: 2, Event: &proto.Event_FlashEnded{FlashEnded: &proto.FlashEnded{SaleId: "x"}}},
			},
			&proto.SessionWelcome{Seq: 2, Sales: []*proto.FlashSale{sale("s", 7)}},
		},
		{
			"sold out and open again", &proto.SessionWelcome{Sales: []*proto.FlashSale{sale("s", 5)}},
			[]*proto.Event{
				{Seq: 1, Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{SaleId: "s"}}},
				{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: "s", Available: 1, Epoch: 2}}},
			},
			&proto.SessionWelcome{Seq: 1, Sales: []*proto.FlashSale{sale("s", 1)}},
		},
		{
			"empty events change nothing", &proto.SessionWelcome{},
			[]*proto.Event{
				{}, {Event: &proto.Event_RoomState{}}, {Event: &proto.Event_ChatMessage{}}, {Event: &proto.Event_FlashStarted{}},
				{Event: &proto.Event_FlashStock{}}, {Event: &proto.Event_ProductUpdated{}}, {Event: &proto.Event_FlashSoldOut{}},
				{Event: &proto.Event_ChatDeleted{}}, {Event: &proto.Event_ChatPinned{}}, {Event: &proto.Event_ProductPushed{}},
			},
			&proto.SessionWelcome{},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := proto.Clone(&proto.ServerFrame{Events: tc.events}).Events
			held := tc.before
			heldBefore := proto.Clone(held)
			s := newSnapshot(held)
			shared := s.shared(0)
			for _, ev := range tc.events {
				s.apply(ev)
			}
			if !proto.Equal(s.w, tc.want) {
				t.Errorf("got  %v\nwant %v", s.w, tc.want)
			}
			for i := range events {
				if !proto.Equal(events[i], tc.events[i]) {
					t.Errorf("event %v was changed", events[i])
				}
			}
			if !proto.Equal(shared, heldBefore) {
				t.Errorf("what others read changed from %v to %v", heldBefore, shared)
			}
		})
	}
}

func TestSnapshotKeepsTheLastThirtyComments(t *testing.T) {
	s := newSnapshot(new(proto.SessionWelcome))
	for n := range 100 {
		s.apply(&proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Id: fmt.Sprint(n)}}})
	}
	if n := len(s.w.Comments); n != MaxWelcomeComments || s.w.Comments[0].Id != "70" || s.w.Comments[29].Id != "99" {
		t.Errorf("%d comments from %s", n, s.w.Comments[0].Id)
	}
}

func TestWelcomeFitsItsLimit(t *testing.T) {
	w := &proto.SessionWelcome{
		Seq: 7, Room: &proto.Room{Id: "demo"}, ShelfTotal: 20,
		ChatSettings: &proto.ChatSettings{SlowModeMs: 5},
		OnShow:       &proto.ProductPushed{Product: product("p", 1)},
	}
	for n := range 30 {
		w.Comments = append(w.Comments, &proto.ChatMessage{Id: fmt.Sprint(n), Text: strings.Repeat("好", 500)})
	}
	for n := range 20 {
		w.Shelf = append(w.Shelf, &proto.ShelfEntry{ProductId: fmt.Sprint(n), Title: strings.Repeat("t", 300)})
	}
	for n := range 500 {
		w.ChatSettings.BlockedTerms = append(w.ChatSettings.BlockedTerms, fmt.Sprintf("a rather long term %d", n))
	}
	w.OnShow.Product.Description = strings.Repeat("d", 20_000)
	before := proto.Clone(w)
	for _, f := range []proto.Format{proto.Binary, proto.JSON} {
		t.Run(f.String(), func(t *testing.T) {
			got, data, err := newSnapshot(w).fitting(f, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > MaxWelcome {
				t.Errorf("%d bytes", len(data))
			}
			if got.Seq != 7 || got.Room.GetId() != "demo" || got.OnShow.GetProduct().GetId() != "p" || got.ChatSettings.GetSlowModeMs() != 5 {
				t.Errorf("what must be there is not: %v", got)
			}
			if n := len(got.Comments); n == 0 || got.Comments[n-1].Id != "29" {
				t.Errorf("%d comments are left, not the newest", n)
			}
			if !proto.Equal(w, before) {
				t.Error("the snapshot itself was cut")
			}
		})
	}
}

func TestWelcomeLeavesOutAPopUpWhoseTimeIsOver(t *testing.T) {
	s := newSnapshot(&proto.SessionWelcome{OnShow: &proto.ProductPushed{Product: product("p", 1), UntilMs: 100}})
	if s.shared(99).OnShow == nil || s.shared(100).OnShow != nil {
		t.Error("not shown exactly until its time")
	}
}
