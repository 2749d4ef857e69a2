package loadtest

import (
	"errors"
	"slices"
	"sync"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// History is what one viewer was told, in the order in which it came. Safe for concurrent use.
type History struct {
	mu sync.Mutex

	// Comments that came as events, by id, with how often; a comment of the welcome is none.
	comments map[string]int
	newest   string // comment that came last
	// Comments that the server says it left out: for all, and for this connection alone.
	sampled, skipped int
	// Numbers of the numbered events, as they came, and the number of the welcome before them.
	welcomeSeq int64
	numbered   []int64
	// Kinds of events, with how often each came.
	events map[string]int
	// Most pieces that any event said were sold, a sale.
	sold map[string]int64
	// Sales that were told as sold out.
	soldOut map[string]bool
	// Tips that were told, by id, with how often.
	tips map[string]int
	// What the host did, by name as moveOf gives it, with how often it was told.
	moves map[string]int
	// Newest own orders and balance, the highest version of each.
	orders  map[string]*proto.Order
	balance *proto.WalletBalance
	stats   *proto.RoomStats
	// Why connections ended that the viewer did not end, and the codes of their close frames.
	losses []string
	closes map[int]int
	frames int
}

func newHistory() *History {
	return &History{
		comments: map[string]int{}, events: map[string]int{}, sold: map[string]int64{}, soldOut: map[string]bool{},
		tips: map[string]int{}, moves: map[string]int{}, orders: map[string]*proto.Order{}, closes: map[int]int{},
	}
}

// record takes in one frame.
func (h *History) record(f *proto.ServerFrame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames++
	h.sampled += int(f.Sampled)
	h.skipped += int(f.Skipped)
	for _, ev := range f.Events {
		h.events[ev.Kind()]++
		if move := moveOf(ev); move != "" {
			h.moves[move]++
		}
		if ev.Seq > 0 {
			h.numbered = append(h.numbered, ev.Seq)
		}
		switch e := ev.Event.(type) {
		case *proto.Event_SessionWelcome:
			if !e.SessionWelcome.Resumed { // else what was missed follows, as if the connection had lasted
				h.welcomeSeq = e.SessionWelcome.Seq
				h.numbered = h.numbered[:0]
			}
			for _, sale := range e.SessionWelcome.Sales {
				h.noteSale(sale)
			}
			if e.SessionWelcome.Stats != nil {
				h.stats = e.SessionWelcome.Stats
			}
		case *proto.Event_SessionSelf:
			h.noteBalance(&proto.WalletBalance{Balance: e.SessionSelf.Balance, Version: e.SessionSelf.BalanceVersion})
			for _, o := range e.SessionSelf.OpenOrders {
				h.noteOrder(o)
			}
		case *proto.Event_ChatMessage:
			h.newest = e.ChatMessage.Id
			h.comments[h.newest]++
		case *proto.Event_GiftSent:
			for _, id := range e.GiftSent.TipIds {
				h.tips[id]++
			}
		case *proto.Event_WalletBalance:
			h.noteBalance(e.WalletBalance)
		case *proto.Event_OrderUpdated:
			h.noteOrder(e.OrderUpdated.Order)
		case *proto.Event_RoomStats:
			h.stats = e.RoomStats
		case *proto.Event_FlashStarted:
			h.noteSale(e.FlashStarted.Sale)
		case *proto.Event_FlashUpdated:
			h.noteSale(e.FlashUpdated.Sale)
		case *proto.Event_FlashSoldOut:
			h.soldOut[e.FlashSoldOut.SaleId] = true
		case *proto.Event_FlashEnded:
			h.sold[e.FlashEnded.SaleId] = max(h.sold[e.FlashEnded.SaleId], e.FlashEnded.Sold)
		}
	}
}

func (h *History) noteSale(s *proto.FlashSale) {
	h.sold[s.GetId()] = max(h.sold[s.GetId()], s.GetSold())
}

func (h *History) noteOrder(o *proto.Order) {
	if old := h.orders[o.GetId()]; old == nil || o.GetVersion() > old.GetVersion() {
		h.orders[o.GetId()] = o
	}
}

func (h *History) noteBalance(b *proto.WalletBalance) {
	if h.balance == nil || b.GetVersion() >= h.balance.GetVersion() {
		h.balance = b
	}
}

// lost notes the end of a connection that the viewer did not end.
func (h *History) lost(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.losses = append(h.losses, err.Error())
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		h.closes[closed.Code]++
	}
}

// lostBy returns why connections ended that the viewer did not end.
func (h *History) lostBy() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.losses)
}

// newestComment returns the id of the comment that came last, "" before the first.
func (h *History) newestComment() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

// last returns the number up to which numbered events are known.
func (h *History) last() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.welcomeSeq
	if n := len(h.numbered); n > 0 {
		last = max(last, h.numbered[n-1])
	}
	return last
}

// head returns the highest number of a numbered event that the viewer was told exists.
func (h *History) head() int64 {
	last := h.last()
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(last, h.stats.GetHeadSeq())
}

// welcomed returns the number that the newest welcome was of.
func (h *History) welcomed() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.welcomeSeq
}

// told returns how many comments the viewer got or was told of as left out.
func (h *History) told() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.comments) + h.sampled + h.skipped
}

// order returns the newest state of an own order, nil where none was told.
func (h *History) order(id string) *proto.Order {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.orders[id]
}

// saw reports whether an event of the kind came.
func (h *History) saw(kind string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[kind] > 0
}

// likes returns the newest total that room_stats told.
func (h *History) likes() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stats.GetLikes()
}

// counters returns the newest figures of the room, empty where none were told.
func (h *History) counters() *proto.RoomStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stats == nil {
		return &proto.RoomStats{}
	}
	return proto.Clone(h.stats)
}

// beans returns the newest balance that was told, 0 where none was.
func (h *History) beans() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.balance.GetBalance()
}
