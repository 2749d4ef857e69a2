package cart

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"livecart/proto"
)

// rows counts what the package's tables hold, and what the skus and sales say.
func (m *market) rows() string {
	m.t.Helper()
	var said []string
	for _, table := range []string{"sku", "listing", "sale", "orders", "order_line", "order_event", "attempt", "request_key", "payment", "payment_notice", "dead_letter", "room_event"} {
		said = append(said, fmt.Sprint(table, " ", scan[int64](m, `SELECT count(*) FROM `+table)))
	}
	said = append(said,
		"skus "+scan[string](m, `SELECT coalesce(string_agg(format('%s %s %s %s', id, stock, sold, moved), ', ' ORDER BY id), '') FROM sku`),
		"sales "+scan[string](m, `SELECT coalesce(string_agg(format('%s %s %s %s %s', id, quantity, sold, per_buyer_limit, version), ', ' ORDER BY id), '') FROM sale`),
		"orders "+scan[string](m, `SELECT coalesce(string_agg(format('%s %s %s', id, state, version), ', ' ORDER BY id), '') FROM orders`))
	return strings.Join(said, "\n")
}

// Whatever is wrong with a command has its reason, and leaves every table as it was.
func TestBadInputRecordsNothing(t *testing.T) {
	s := newStall(t, 5, 2)
	s.ledger()
	mine := s.order("mine", "tea-l", 1)
	version := scan[int64](s.market, `SELECT version FROM sale`)

	odd := map[string]string{"NUL": "a\x00b", "no UTF-8": "\xff\xfe", "a brace": "}{", "a subject": "a.b.>", "a space": "a b", "long": strings.Repeat("x", 1<<12), "empty": ""}
	counts := []int32{0, -1, 100, math.MaxInt32, math.MinInt32}
	big := []int64{0, -1, MaxSaleQuantity + 1, math.MaxInt64, math.MinInt64}
	type try struct {
		name string
		do   func() error
		want proto.Reason
	}
	var tries []try
	add := func(want proto.Reason, do func() error, name ...any) {
		tries = append(tries, try{fmt.Sprint(name...), do, want})
	}
	asked := 0
	buy := func(saleID, roomID, key string, n int32) func() error {
		asked++
		who := buyer(fmt.Sprint("v", asked)) // each is slow enough for the limit of attempts a second
		return func() error {
			_, err := s.cart.Buy(t.Context(), roomID, who, key, &proto.FlashBuy{SaleId: saleID, Quantity: n})
			return err
		}
	}
	order := func(key string, cmd *proto.OrderCreate) func() error {
		return func() error {
			_, err := s.cart.CreateOrders(t.Context(), "demo", buyer("ann"), key, cmd)
			return err
		}
	}
	start := func(edit func(*proto.FlashStart)) func() error {
		cmd := minute(&proto.FlashStart{ListingId: "tea-l", Price: 1, Quantity: 1})
		edit(cmd)
		return func() error {
			_, err := s.cart.StartSale(t.Context(), "demo", host, "start", cmd)
			return err
		}
	}
	update := func(edit func(*proto.FlashUpdate)) func() error {
		cmd := &proto.FlashUpdate{SaleId: s.sale.Id, ExpectedVersion: version}
		edit(cmd)
		return func() error {
			_, err := s.cart.UpdateSale(t.Context(), "demo", host, "update", cmd)
			return err
		}
	}
	for _, n := range counts {
		add(proto.ReasonInvalidQuantity, buy(s.sale.Id, "demo", "k", n), "flash_buy of ", n)
		add(proto.ReasonInvalidQuantity, order("k", items("tea-s", int(n))), "order_create of ", n)
	}
	for name, id := range odd {
		add(proto.ReasonSaleNotFound, buy(id, "demo", "k", 1), "flash_buy in a sale with ", name)
		add(proto.ReasonSaleNotFound, buy(s.sale.Id, id, "k", 1), "flash_buy in a room with ", name)
		add(proto.ReasonNotFound, order("k", items(id, 1)), "order_create of a listing with ", name)
		add(proto.ReasonNotFound, start(func(c *proto.FlashStart) { c.ListingId = id }), "flash_start of a listing with ", name)
		add(proto.ReasonSaleNotFound, update(func(c *proto.FlashUpdate) { c.SaleId = id }), "flash_update of a sale with ", name)
	}
	for _, name := range []string{"NUL", "no UTF-8", "long", "empty"} {
		key := odd[name]
		add(proto.ReasonInvalidArgument, buy(s.sale.Id, "demo", key, 1), "flash_buy with a key with ", name)
		add(proto.ReasonInvalidArgument, order(key, items("tea-s", 1)), "order_create with a key with ", name)
	}
	for _, n := range big {
		add(proto.ReasonInvalidQuantity, start(func(c *proto.FlashStart) { c.Quantity = n }), "flash_start of ", n)
		add(proto.ReasonInvalidQuantity, update(func(c *proto.FlashUpdate) { c.Quantity = &n }), "flash_update to ", n)
		if n != 0 {
			add(proto.ReasonInvalidArgument, start(func(c *proto.FlashStart) { c.DurationMs = n * 1000 }), "flash_start for ", n, " s")
		}
	}
	for _, price := range []int64{0, -1, math.MinInt64, math.MaxInt64, MaxPrice} {
		add(proto.ReasonInvalidArgument, start(func(c *proto.FlashStart) { c.Price = price }), "flash_start at ", price)
	}
	for _, limit := range []int32{-1, MaxSaleQuantity + 1, math.MinInt32, math.MaxInt32} {
		add(proto.ReasonInvalidArgument, start(func(c *proto.FlashStart) { c.PerBuyerLimit = limit }), "flash_start with limit ", limit)
		add(proto.ReasonInvalidArgument, update(func(c *proto.FlashUpdate) { c.PerBuyerLimit = &limit }), "flash_update to limit ", limit)
	}
	for _, at := range []int64{0, -1, math.MinInt64, math.MaxInt64} {
		add(proto.ReasonInvalidArgument, update(func(c *proto.FlashUpdate) { c.EndsAtMs = &at }), "flash_update to end at ", at)
		if at != 0 {
			add(proto.ReasonInvalidArgument, start(func(c *proto.FlashStart) { c.StartsAtMs = at }), "flash_start at time ", at)
		}
		if at != version {
			add(proto.ReasonVersionConflict, update(func(c *proto.FlashUpdate) { c.ExpectedVersion = at }), "flash_update of version ", at)
		}
	}
	stranger := map[string]func() error{
		"order_get of another's": func() error {
			_, err := s.cart.Order(t.Context(), "bob", &proto.OrderGet{OrderId: mine.Id})
			return err
		},
		"order_cancel of another's": func() error {
			_, err := s.cart.Cancel(t.Context(), "bob", "k", mine.Id)
			return err
		},
		"order_pay of another's": func() error {
			_, err := s.cart.Pay(t.Context(), "bob", "k", mine.Id)
			return err
		},
	}
	for name, do := range stranger {
		add(proto.ReasonNotFound, do, name)
	}

	before := s.rows()
	for _, try := range tries {
		t.Run(try.name, func(t *testing.T) {
			err := try.do()
			if err == nil {
				t.Fatal("it was accepted")
			}
			if got := proto.Wire(err).Reason; got != string(try.want) {
				t.Errorf("%v, want %s", err, try.want)
			}
		})
	}
	if after := s.rows(); after != before {
		t.Errorf("tables changed:\n%s\nwere\n%s", after, before)
	}
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), "5 0 0")
}
