package cart

import (
	"errors"
	"testing"
	"time"

	"livecart/proto"
)

func minute(cmd *proto.FlashStart) *proto.FlashStart {
	if cmd.DurationMs == 0 {
		cmd.DurationMs = 60_000
	}
	return cmd
}

func TestStartSaleMovesItsPieces(t *testing.T) {
	m := newMarket(t)
	cmd := minute(&proto.FlashStart{ListingId: "tea-s", Price: 999, Quantity: 10, PerBuyerLimit: 2})
	sale, err := m.cart.StartSale(t.Context(), "demo", host, "k1", cmd)
	m.must(err)
	m.expect("phase", sale.Phase, proto.SalePhase_SALE_PHASE_OPEN)
	m.expect("title", sale.Title, "Tea · S")
	m.expect("normal price", sale.OriginalPrice, int64(1000))
	m.expect("available", sale.Available, int64(10))
	m.expect("window", sale.EndsAtMs-sale.StartsAtMs, int64(60_000))
	m.expect("moved", scan[int64](m, `SELECT moved FROM sku WHERE id = 'k-tea-s'`), int64(10))
	again, err := m.cart.StartSale(t.Context(), "demo", host, "k1", cmd)
	m.must(err)
	m.expect("again", again.Id, sale.Id)
	_, err = m.cart.StartSale(t.Context(), "demo", host, "k1", minute(&proto.FlashStart{ListingId: "tea-s", Price: 998, Quantity: 10}))
	m.refused(err, ErrKeyConflict)
	_, err = m.create(t.Context(), "demo", buyer("ann"), "o", items("tea-s", 1))
	m.refused(err, ErrSoldOut)
	listed, err := m.cart.Sales(t.Context(), "demo")
	m.must(err)
	if len(listed) != 1 || !proto.Equal(listed[0], sale) {
		t.Errorf("sales of the room: %v, want %v", listed, sale)
	}
	m.expect("events", scan[int64](m, `SELECT seq FROM room WHERE id = 'demo'`)-2, int64(1))
}

func TestStartSaleRefusals(t *testing.T) {
	m := newMarket(t)
	m.exec(`INSERT INTO room (id, title, phase, host_id, host_name, shop_id) VALUES ('soon', 'Soon', 'scheduled', 'h1', 'May', 'shop'), ('bare', 'Bare', 'live', 'h1', 'May', 'shop')`)
	off := tea()
	off.Id, off.OnSale = "off", false
	off.Listings = []*proto.Listing{{Id: "off", SkuId: "k-off", Price: 500}}
	m.put(off, map[string]int64{"k-off": 5})
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "off", 0))
	running, err := m.cart.StartSale(t.Context(), "demo", host, "running", minute(&proto.FlashStart{ListingId: "tea-l", Price: 1, Quantity: 1}))
	m.must(err)
	ok := func() *proto.FlashStart {
		return minute(&proto.FlashStart{ListingId: "tea-s", Price: 500, Quantity: 5})
	}
	for _, c := range []struct {
		name string
		room string
		edit func(*proto.FlashStart)
		want error
	}{
		{"no such room", "none", func(*proto.FlashStart) {}, ErrRoomNotFound},
		{"not live", "soon", func(*proto.FlashStart) {}, ErrRoomNotLive},
		{"not on the shelf", "bare", func(*proto.FlashStart) {}, ErrProductNotInRoom},
		{"no such listing", "demo", func(c *proto.FlashStart) { c.ListingId = "none" }, ErrListingNotFound},
		{"no listing", "demo", func(c *proto.FlashStart) { c.ListingId = "" }, ErrListingNotFound},
		{"off sale", "demo", func(c *proto.FlashStart) { c.ListingId, c.Price = "off", 1 }, ErrProductOffSale},
		{"price not below", "demo", func(c *proto.FlashStart) { c.Price = 1000 }, ErrInvalid},
		{"free", "demo", func(c *proto.FlashStart) { c.Price = 0 }, ErrInvalid},
		{"no pieces", "demo", func(c *proto.FlashStart) { c.Quantity = 0 }, ErrInvalidQuantity},
		{"more than there are", "demo", func(c *proto.FlashStart) { c.Quantity = 11 }, ErrInvalidQuantity},
		{"more than a sale may have", "demo", func(c *proto.FlashStart) { c.Quantity = MaxSaleQuantity + 1 }, ErrInvalidQuantity},
		{"limit below 0", "demo", func(c *proto.FlashStart) { c.PerBuyerLimit = -1 }, ErrInvalid},
		{"too short", "demo", func(c *proto.FlashStart) { c.DurationMs = 9_999 }, ErrInvalid},
		{"too long", "demo", func(c *proto.FlashStart) { c.DurationMs = MaxSaleTime.Milliseconds() + 1 }, ErrInvalid},
		{"too far ahead", "demo", func(c *proto.FlashStart) { c.StartsAtMs = time.Now().Add(MaxSaleAhead + time.Minute).UnixMilli() }, ErrInvalid},
		{"before time began", "demo", func(c *proto.FlashStart) { c.StartsAtMs = -1 }, ErrInvalid},
		{"in a sale already", "demo", func(c *proto.FlashStart) { c.ListingId, c.Price, c.Quantity = "tea-l", 1, 1 }, ErrSaleRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := ok()
			c.edit(cmd)
			_, err := m.cart.StartSale(t.Context(), c.room, host, "k", cmd)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	// Nothing was recorded under the key.
	edge := ok()
	edge.DurationMs, edge.Quantity, edge.Price = MinSaleTime.Milliseconds(), 10, 999
	_, err = m.cart.StartSale(t.Context(), "demo", host, "k", edge)
	m.must(err)
	_, err = m.cart.StopSale(t.Context(), "demo", host, "stop", &proto.FlashStop{SaleId: running.Id, ExpectedVersion: 1})
	m.must(err)
	_, err = m.cart.StartSale(t.Context(), "demo", host, "another", minute(&proto.FlashStart{ListingId: "tea-l", Price: 1, Quantity: 5, DurationMs: MaxSaleTime.Milliseconds()}))
	m.must(err)
}

func TestUpdateSale(t *testing.T) {
	s := newStall(t, 8, 0)
	s.ledger()
	_, err := s.buy(s.cart, "ann", "k", 3)
	s.must(err)
	update := func(key string, version int64, edit func(*proto.FlashUpdate)) (*proto.FlashSale, error) {
		cmd := &proto.FlashUpdate{SaleId: s.sale.Id, ExpectedVersion: version}
		edit(cmd)
		return s.cart.UpdateSale(t.Context(), "demo", host, key, cmd)
	}
	quantity := func(n int64) func(*proto.FlashUpdate) { return func(c *proto.FlashUpdate) { c.Quantity = &n } }
	limit := func(n int32) func(*proto.FlashUpdate) { return func(c *proto.FlashUpdate) { c.PerBuyerLimit = &n } }
	ends := func(d time.Duration) func(*proto.FlashUpdate) {
		at := s.sale.StartsAtMs + d.Milliseconds()
		return func(c *proto.FlashUpdate) { c.EndsAtMs = &at }
	}
	for _, c := range []struct {
		name    string
		version int64
		edit    func(*proto.FlashUpdate)
		want    error
	}{
		{"another version", 2, quantity(5), ErrVersionConflict},
		{"no version", 0, quantity(5), ErrVersionConflict},
		{"below sold", 1, quantity(2), ErrInvalidQuantity},
		{"more than there are", 1, quantity(19), ErrInvalidQuantity},
		{"limit below 0", 1, limit(-1), ErrInvalid},
		{"ends before now", 1, ends(-time.Second), ErrInvalid},
		{"ends too late", 1, ends(MaxSaleTime + time.Second), ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := update("k", c.version, c.edit)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	raised, err := update("k", 1, quantity(18))
	s.must(err)
	s.expect("version", raised.Version, int64(2))
	s.expect("moved", scan[int64](s.market, `SELECT moved FROM sku WHERE id = 'k-tea-s'`), int64(18))
	again, err := update("k", 1, quantity(18))
	s.must(err)
	s.expect("again", again.Version, int64(2))
	_, err = s.cart.UpdateSale(t.Context(), "bare", host, "k2", &proto.FlashUpdate{SaleId: s.sale.Id, ExpectedVersion: 2})
	s.refused(err, ErrSaleNotFound)
	_, err = update("k3", 2, ends(2*time.Hour))
	s.must(err)

	// A limit below what a buyer has lets the buyer keep it, and no more.
	_, err = update("k4", 3, limit(2))
	s.must(err)
	_, err = s.buy(s.cart, "ann", "k2", 1)
	s.refused(err, ErrLimitPerBuyer)

	// Down to what is sold: sold out at once.
	events := s.roomEvents()
	lowered, err := update("k5", 4, quantity(3))
	s.must(err)
	s.expect("sold out", lowered.SoldOut, true)
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.refused(err, ErrSoldOut)
	s.until("flash_sold_out", func() bool {
		return heard(events(), func(ev *proto.Event) bool { return ev.GetFlashSoldOut() != nil })
	})
	// And open again.
	_, err = update("k6", 5, quantity(4))
	s.must(err)
	_, err = s.buy(s.cart, "bob", "k2", 1)
	s.must(err)
}

// Attempts in flight while the host stops the sale are either in time or told sale_ended; the rest
// returns to the sku.
func TestStopMidSale(t *testing.T) {
	s := newStall(t, 500, 0)
	s.ledger()
	answers := make(chan map[string]error, 1)
	go func() { answers <- s.crowd("v", 300, s.cart) }()
	s.until("some are sold", func() bool { return s.sold() > 0 })
	stopped, err := s.cart.StopSale(t.Context(), "demo", host, "stop", &proto.FlashStop{SaleId: s.sale.Id, ExpectedVersion: 1})
	s.must(err)
	s.expect("phase", stopped.Phase, proto.SalePhase_SALE_PHASE_ENDED)
	ordered := int64(0)
	for who, err := range <-answers {
		switch {
		case err == nil:
			ordered++
		case !errors.Is(err, ErrSaleEnded):
			t.Errorf("%s: %v", who, err)
		}
	}
	s.expect("orders", s.orders(), ordered)
	s.expect("moved", scan[int64](s.market, `SELECT moved FROM sku WHERE id = 'k-tea-s'`), ordered)
	_, err = s.buy(s.cart, "late", "k", 1)
	s.refused(err, ErrSaleEnded)
	again, err := s.cart.StopSale(t.Context(), "demo", host, "stop", &proto.FlashStop{SaleId: s.sale.Id, ExpectedVersion: 1})
	s.must(err)
	s.expect("again", again.Version, stopped.Version)
	_, err = s.cart.StopSale(t.Context(), "demo", host, "stop2", &proto.FlashStop{SaleId: s.sale.Id, ExpectedVersion: stopped.Version})
	s.refused(err, ErrSaleEnded)
}

func TestSaleClockEndsAndRoomEnds(t *testing.T) {
	s := newStall(t, 5, 0)
	s.ledger()
	pots := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 2, DurationMs: 60_000})
	events := s.roomEvents()
	_, err := s.buy(s.cart, "ann", "k", 2)
	s.must(err)
	s.exec(`UPDATE sale SET ends_at = clock_timestamp() + interval '100 milliseconds' WHERE id = $1`, s.sale.Id)
	ended := func(id, cause string, sold int64) func() bool {
		return func() bool {
			return heard(events(), func(ev *proto.Event) bool {
				e := ev.GetFlashEnded()
				return e.GetSaleId() == id && e.Cause == cause && e.Sold == sold && ev.Seq > 0
			})
		}
	}
	s.until("its time ends it", ended(s.sale.Id, causeTime, 2))
	_, err = s.buy(s.cart, "bob", "k", 1)
	s.refused(err, ErrSaleEnded)
	again, err := s.buy(s.cart, "ann", "k", 2)
	s.must(err)
	s.expect("an earlier order", again.State, proto.OrderState_ORDER_STATE_AWAITING_PAYMENT)
	s.must(s.cart.EndSalesOfRoom(t.Context(), "demo"))
	s.until("the room ends it", ended(pots.Id, causeRoomEnded, 0))
	s.expect("moved", scan[int64](s.market, `SELECT sum(moved)::bigint FROM sku`), int64(2))
	left, err := s.cart.Sales(t.Context(), "demo")
	s.must(err)
	s.expect("open sales", len(left), 0)
}

func TestAnnouncedSaleOpens(t *testing.T) {
	s := newStall(t, 5, 0)
	s.ledger()
	starts := time.Now().Add(1500 * time.Millisecond)
	pots := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 2, StartsAtMs: starts.UnixMilli(), DurationMs: 60_000})
	s.expect("phase", pots.Phase, proto.SalePhase_SALE_PHASE_ANNOUNCED)
	cmd := &proto.FlashBuy{SaleId: pots.Id, Quantity: 1}
	_, err := s.cart.Buy(t.Context(), "demo", buyer("early"), "k", cmd)
	s.refused(err, ErrNotStarted)
	s.until("it opens", func() bool {
		_, err := s.cart.Buy(t.Context(), "demo", buyer("early"), "k", cmd)
		if err != nil && !errors.Is(err, ErrNotStarted) && !errors.Is(err, ErrRateLimited) {
			t.Fatal(err)
		}
		return err == nil
	})
	if time.Now().Before(starts) {
		t.Error("sold before the start")
	}
}
