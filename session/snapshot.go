package session

import (
	"slices"

	"livecart/proto"
)

// What a welcome holds at most.
const (
	MaxWelcome         = 16 << 10 // bytes, in either format
	MaxWelcomeComments = 30
	MaxWelcomeShelf    = 20
)

// snapshot is a room as a new viewer is told of it, kept current by the room's events.
type snapshot struct {
	w *proto.SessionWelcome
	// Newest (epoch, rev) seen of each sale's stock, as hints may arrive out of order.
	stock map[string]*proto.FlashStock
}

func newSnapshot(w *proto.SessionWelcome) *snapshot {
	if n := len(w.Comments); n > MaxWelcomeComments {
		w.Comments = w.Comments[n-MaxWelcomeComments:]
	}
	w.Shelf = w.Shelf[:min(len(w.Shelf), MaxWelcomeShelf)]
	return &snapshot{w: w, stock: make(map[string]*proto.FlashStock)}
}

// apply brings the snapshot past one event. A numbered event that it already contains changes
// nothing. The event is shared and stays as it is; so do the messages that the snapshot pointed to
// before, which others may still be encoding.
func (s *snapshot) apply(ev *proto.Event) {
	if ev.Seq > 0 {
		if ev.Seq <= s.w.Seq {
			return
		}
		s.w.Seq = ev.Seq
	}
	if e, ok := ev.Event.(*proto.Event_FlashStock); ok {
		s.applyStock(e.FlashStock)
		return
	}
	apply(s.w, ev)
}

func (s *snapshot) applyStock(stock *proto.FlashStock) {
	if !newerStock(stock, s.stock[stock.GetSaleId()]) {
		return
	}
	s.stock[stock.GetSaleId()] = stock
	editSale(s.w, stock.GetSaleId(), func(sale *proto.FlashSale) {
		sale.Available = stock.GetAvailable()
		sale.SoldOut = stock.GetAvailable() <= 0
	})
}

// newerStock reports whether a replaces b.
func newerStock(a, b *proto.FlashStock) bool {
	if b == nil {
		return true
	}
	if a.GetEpoch() != b.GetEpoch() {
		return a.GetEpoch() > b.GetEpoch()
	}
	return a.GetRev() > b.GetRev()
}

// apply changes w as ev says, whatever its number.
func apply(w *proto.SessionWelcome, ev *proto.Event) {
	switch e := ev.Event.(type) {
	case *proto.Event_RoomState:
		if room := e.RoomState.GetRoom(); room != nil {
			w.Room = room
		}
	case *proto.Event_RoomStats:
		w.Stats = e.RoomStats
	case *proto.Event_ChatMessage:
		addComment(w, e.ChatMessage)
	case *proto.Event_ChatPinned:
		w.Pinned = e.ChatPinned
		if e.ChatPinned.GetMessage() == nil {
			w.Pinned = nil
		}
	case *proto.Event_ChatDeleted:
		dropComment(w, e.ChatDeleted.GetMessageId())
	case *proto.Event_ChatSettings:
		w.ChatSettings = e.ChatSettings
	case *proto.Event_ProductPushed:
		w.OnShow = e.ProductPushed
		if e.ProductPushed.GetProduct() == nil {
			w.OnShow = nil
		}
	case *proto.Event_ProductUpdated:
		updateProduct(w, e.ProductUpdated)
	case *proto.Event_FlashStarted:
		putSale(w, e.FlashStarted.GetSale())
	case *proto.Event_FlashUpdated:
		putSale(w, e.FlashUpdated.GetSale())
	case *proto.Event_FlashSoldOut:
		editSale(w, e.FlashSoldOut.GetSaleId(), func(sale *proto.FlashSale) {
			sale.Available, sale.SoldOut = 0, true
		})
	case *proto.Event_FlashEnded:
		dropSale(w, e.FlashEnded.GetSaleId())
	}
}

// The functions below make new slices rather than change the old ones, for the sake of readers.

func addComment(w *proto.SessionWelcome, m *proto.ChatMessage) {
	if m == nil || slices.ContainsFunc(w.Comments, func(old *proto.ChatMessage) bool { return old.Id == m.Id }) {
		return
	}
	keep := w.Comments[max(0, len(w.Comments)-MaxWelcomeComments+1):]
	w.Comments = append(slices.Clip(keep), m)
}

func dropComment(w *proto.SessionWelcome, messageID string) {
	if i := slices.IndexFunc(w.Comments, func(m *proto.ChatMessage) bool { return m.Id == messageID }); i >= 0 {
		w.Comments = slices.Concat(w.Comments[:i], w.Comments[i+1:])
	}
	if w.Pinned.GetMessage().GetId() == messageID {
		w.Pinned = nil
	}
}

func putSale(w *proto.SessionWelcome, sale *proto.FlashSale) {
	if sale == nil {
		return
	}
	if sale.Phase == proto.SalePhase_SALE_PHASE_ENDED {
		dropSale(w, sale.Id)
		return
	}
	if i := saleIndex(w, sale.Id); i >= 0 {
		w.Sales = slices.Concat(w.Sales[:i], []*proto.FlashSale{sale}, w.Sales[i+1:])
		return
	}
	w.Sales = append(slices.Clip(w.Sales), sale)
}

func editSale(w *proto.SessionWelcome, saleID string, edit func(*proto.FlashSale)) {
	if i := saleIndex(w, saleID); i >= 0 {
		sale := proto.Clone(w.Sales[i])
		edit(sale)
		putSale(w, sale)
	}
}

func dropSale(w *proto.SessionWelcome, saleID string) {
	if i := saleIndex(w, saleID); i >= 0 {
		w.Sales = slices.Concat(w.Sales[:i], w.Sales[i+1:])
	}
}

func saleIndex(w *proto.SessionWelcome, saleID string) int {
	return slices.IndexFunc(w.Sales, func(s *proto.FlashSale) bool { return s.Id == saleID })
}

// updateProduct changes the product on show and its place on the shelf. What stood beyond the
// first entries is not known here: a shelf that lost an entry stays one short until the room is
// read again, see audience.reload.
func updateProduct(w *proto.SessionWelcome, u *proto.ProductUpdated) {
	product := u.GetProduct()
	if product == nil {
		return
	}
	if shown := w.OnShow.GetProduct(); shown.GetId() == product.Id && shown.GetVersion() <= product.Version {
		w.OnShow = &proto.ProductPushed{Product: product, UntilMs: w.OnShow.UntilMs, By: w.OnShow.By}
	}
	shelf := slices.Clone(w.Shelf)
	i := slices.IndexFunc(shelf, func(e *proto.ShelfEntry) bool { return e.ProductId == product.Id })
	if i >= 0 {
		shelf = slices.Delete(shelf, i, i+1)
		w.ShelfTotal--
	}
	if u.Position > 0 {
		w.ShelfTotal++
		at := min(int(u.Position)-1, len(shelf))
		shelf = slices.Insert(shelf, at, shelfEntry(product, u.Position))
	}
	for i, e := range shelf {
		if e.Position != int32(i+1) {
			shelf[i] = proto.Clone(e)
			shelf[i].Position = int32(i + 1)
		}
	}
	w.Shelf = shelf[:min(len(shelf), MaxWelcomeShelf)]
}

func shelfEntry(p *proto.Product, position int32) *proto.ShelfEntry {
	e := &proto.ShelfEntry{
		ProductId: p.Id, Position: position, Title: p.Title, ImageUrl: p.ImageUrl,
		Currency: p.Currency, OnSale: p.OnSale, Version: p.Version,
	}
	for i, l := range p.Listings {
		if i == 0 || l.Price < e.PriceFrom {
			e.PriceFrom = l.Price
		}
	}
	return e
}

// shrinks are what a welcome gives up to fit, one after the other until it does. Each reports
// whether there was something left to give.
var shrinks = []func(*proto.SessionWelcome) bool{
	func(w *proto.SessionWelcome) bool {
		had := len(w.Comments) > 5
		if had {
			w.Comments = w.Comments[len(w.Comments)-len(w.Comments)/2:]
		}
		return had
	},
	func(w *proto.SessionWelcome) bool {
		had := w.ChatSettings != nil && len(w.ChatSettings.BlockedTerms) > 0
		if had {
			w.ChatSettings = proto.Clone(w.ChatSettings)
			w.ChatSettings.BlockedTerms = nil
		}
		return had
	},
	func(w *proto.SessionWelcome) bool {
		had := w.OnShow.GetProduct().GetDescription() != ""
		if had {
			w.OnShow = proto.Clone(w.OnShow)
			w.OnShow.Product.Description = ""
		}
		return had
	},
	func(w *proto.SessionWelcome) bool {
		had := len(w.Shelf) > 0
		w.Shelf = w.Shelf[:len(w.Shelf)/2]
		return had
	},
	func(w *proto.SessionWelcome) bool {
		had := len(w.Comments) > 0
		w.Comments = w.Comments[(len(w.Comments)+1)/2:]
		return had
	},
}

// shared returns the snapshot as a message of its own, whose parts are shared and stay as they are.
func (s *snapshot) shared(nowMs int64) *proto.SessionWelcome {
	w := s.w
	shared := &proto.SessionWelcome{
		Seq: w.Seq, ServerTimeMs: nowMs, Room: w.Room, ChatSettings: w.ChatSettings,
		OnShow: w.OnShow, Sales: w.Sales, Shelf: w.Shelf, ShelfTotal: w.ShelfTotal,
		Comments: w.Comments, Pinned: w.Pinned, Stats: w.Stats,
	}
	if until := w.OnShow.GetUntilMs(); until > 0 && until <= nowMs {
		shared.OnShow = nil
	}
	return shared
}

// fitting returns the snapshot cut to MaxWelcome bytes, and the frame that says it. What is too
// long loses its older comments first, then what is read over HTTP as well.
func (s *snapshot) fitting(f proto.Format, nowMs int64) (*proto.SessionWelcome, []byte, error) {
	w := s.shared(nowMs)
	frame := welcomeFrame(w)
	step := 0
	for {
		data, err := proto.Encode(f, frame)
		if err != nil || len(data) <= MaxWelcome {
			return w, data, err
		}
		for step < len(shrinks) && !shrinks[step](w) {
			step++
		}
		if step == len(shrinks) {
			return w, data, nil
		}
	}
}

func welcomeFrame(w *proto.SessionWelcome) *proto.ServerFrame {
	return &proto.ServerFrame{Events: []*proto.Event{{
		TimeMs: w.ServerTimeMs,
		Event:  &proto.Event_SessionWelcome{SessionWelcome: w},
	}}}
}
