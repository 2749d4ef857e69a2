package loadtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// Events for histories.

func welcome(seq int64) *proto.Event {
	return &proto.Event{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{Seq: seq}}}
}

func resumed(seq int64) *proto.Event {
	return &proto.Event{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{Seq: seq, Resumed: true}}}
}

func comment(id string) *proto.Event {
	return &proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Id: id}}}
}

func gift(tipIDs ...string) *proto.Event {
	return &proto.Event{Event: &proto.Event_GiftSent{GiftSent: &proto.GiftSent{TipIds: tipIDs}}}
}

func balance(beans, version int64) *proto.Event {
	return &proto.Event{Event: &proto.Event_WalletBalance{WalletBalance: &proto.WalletBalance{Balance: beans, Version: version}}}
}

func stats(likes, head int64) *proto.Event {
	return &proto.Event{Event: &proto.Event_RoomStats{RoomStats: &proto.RoomStats{Likes: likes, HeadSeq: head}}}
}

func pinned(seq int64) *proto.Event {
	return &proto.Event{Seq: seq, Event: &proto.Event_ChatPinned{ChatPinned: &proto.ChatPinned{}}}
}

func soldOut(seq int64, sale string) *proto.Event {
	return &proto.Event{Seq: seq, Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{SaleId: sale}}}
}

func ended(seq int64, sale string, sold int64) *proto.Event {
	return &proto.Event{Seq: seq, Event: &proto.Event_FlashEnded{FlashEnded: &proto.FlashEnded{SaleId: sale, Sold: sold}}}
}

func updated(id string, state proto.OrderState, version int64) *proto.Event {
	return &proto.Event{Event: &proto.Event_OrderUpdated{OrderUpdated: &proto.OrderUpdated{Order: &proto.Order{Id: id, State: state, Version: version}}}}
}

// tell hands each event to h in a frame of its own.
func tell(h *History, events ...*proto.Event) *History {
	for _, ev := range events {
		h.record(&proto.ServerFrame{Events: []*proto.Event{ev}})
	}
	return h
}

func TestHistoryNumbersFromTheWelcomeOn(t *testing.T) {
	for name, tt := range map[string]struct {
		events           []*proto.Event
		welcomeSeq, last int64
		numbered         []int64
		headWant         int64
	}{
		"nothing":         {},
		"welcome alone":   {events: []*proto.Event{welcome(4)}, welcomeSeq: 4, last: 4, headWant: 4},
		"rising":          {events: []*proto.Event{welcome(4), pinned(5), comment("a"), pinned(6)}, welcomeSeq: 4, numbered: []int64{5, 6}, last: 6, headWant: 6},
		"repeat is kept":  {events: []*proto.Event{welcome(4), pinned(5), pinned(5)}, welcomeSeq: 4, numbered: []int64{5, 5}, last: 5, headWant: 5},
		"welcome resets":  {events: []*proto.Event{welcome(4), pinned(5), welcome(9), pinned(10)}, welcomeSeq: 9, numbered: []int64{10}, last: 10, headWant: 10},
		"resume goes on":  {events: []*proto.Event{welcome(4), pinned(5), resumed(7), pinned(6), pinned(7)}, welcomeSeq: 4, numbered: []int64{5, 6, 7}, last: 7, headWant: 7},
		"head is further": {events: []*proto.Event{welcome(4), stats(0, 8)}, welcomeSeq: 4, last: 4, headWant: 8},
		"head is behind":  {events: []*proto.Event{stats(0, 3), welcome(4)}, welcomeSeq: 4, last: 4, headWant: 4},
	} {
		t.Run(name, func(t *testing.T) {
			h := tell(newHistory(), tt.events...)
			if h.welcomeSeq != tt.welcomeSeq || !slices.Equal(h.numbered, tt.numbered) || h.last() != tt.last || h.head() != tt.headWant {
				t.Errorf("welcome %d, numbered %v, last %d, head %d", h.welcomeSeq, h.numbered, h.last(), h.head())
			}
		})
	}
}

func TestHistoryCountsComments(t *testing.T) {
	h := tell(newHistory(), comment("a"), comment("b"), comment("a"))
	h.record(&proto.ServerFrame{Sampled: 3, Skipped: 2})
	h.record(&proto.ServerFrame{Sampled: 1})
	// A comment of the welcome was written before: it is none of those that came.
	h.record(&proto.ServerFrame{Events: []*proto.Event{{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{
		Comments: []*proto.ChatMessage{{Id: "old"}},
	}}}}})
	if h.comments["a"] != 2 || h.comments["b"] != 1 || len(h.comments) != 2 || h.sampled != 4 || h.skipped != 2 || h.told() != 8 {
		t.Errorf("comments %v, sampled %d, skipped %d, told %d", h.comments, h.sampled, h.skipped, h.told())
	}
	if h.frames != 6 || !h.saw("chat_message") || h.saw("room_stats") {
		t.Errorf("%d frames, kinds %v", h.frames, h.events)
	}
}

func TestHistoryKeepsTheHighestVersion(t *testing.T) {
	h := tell(newHistory(), balance(10, 2), balance(99, 1))
	if h.beans() != 10 {
		t.Errorf("%d beans", h.beans())
	}
	self := &proto.SessionSelf{Balance: 7, BalanceVersion: 3, OpenOrders: []*proto.Order{{Id: "o2", Version: 1}}}
	tell(h, &proto.Event{Event: &proto.Event_SessionSelf{SessionSelf: self}})
	if h.beans() != 7 || h.order("o2") == nil {
		t.Errorf("%d beans, order %v", h.beans(), h.order("o2"))
	}
	tell(h, updated("o1", proto.OrderState_ORDER_STATE_PAID, 2), updated("o1", proto.OrderState_ORDER_STATE_AWAITING_PAYMENT, 1))
	if got := h.order("o1").GetState(); got != proto.OrderState_ORDER_STATE_PAID {
		t.Errorf("the order is %v", got)
	}
	if h.order("o3") != nil {
		t.Error("an order that was never told")
	}
	tell(h, stats(5, 0), stats(4, 0))
	if h.likes() != 4 {
		t.Errorf("%d likes, the latest wins", h.likes())
	}
}

func TestHistoryOfASale(t *testing.T) {
	h := newHistory()
	sale := func(sold int64) *proto.FlashSale { return &proto.FlashSale{Id: "s", Sold: sold} }
	for i, tt := range []struct {
		ev   *proto.Event
		sold int64
	}{
		{&proto.Event{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{Sales: []*proto.FlashSale{sale(1)}, Stats: &proto.RoomStats{Likes: 3}}}}, 1},
		{&proto.Event{Event: &proto.Event_FlashStarted{FlashStarted: &proto.FlashStarted{Sale: sale(0)}}}, 1},
		{&proto.Event{Event: &proto.Event_FlashUpdated{FlashUpdated: &proto.FlashUpdated{Sale: sale(4)}}}, 4},
		{ended(0, "s", 6), 6},
		{ended(0, "s", 5), 6},
	} {
		if tell(h, tt.ev); h.sold["s"] != tt.sold {
			t.Errorf("after %d events %d are sold, want %d", i+1, h.sold["s"], tt.sold)
		}
	}
	if h.likes() != 3 || h.soldOut["s"] {
		t.Errorf("%d likes, sold out %v", h.likes(), h.soldOut)
	}
	tell(h, soldOut(0, "s"), gift("t1", "t2"), gift("t2"))
	if !h.soldOut["s"] || fmt.Sprint(h.tips) != "map[t1:1 t2:2]" {
		t.Errorf("sold out %v, tips %v", h.soldOut, h.tips)
	}
}

func TestHistoryKeepsLosses(t *testing.T) {
	h := newHistory()
	h.lost(&websocket.CloseError{Code: 1013})
	h.lost(fmt.Errorf("read: %w", &websocket.CloseError{Code: 1013}))
	h.lost(errors.New("reset"))
	if len(h.lostBy()) != 3 || len(h.closes) != 1 || h.closes[1013] != 2 {
		t.Errorf("%v, %v", h.lostBy(), h.closes)
	}
}
