package cart

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

func TestCreateOrder(t *testing.T) {
	m := newMarket(t)
	private := m.listen()
	cmd := items("tea-s", 2, "tea-l", 1)
	cmd.ShipTo = goodAddress()
	by := buyer("ann")
	by.Source, by.Guide = "wechat", "g7"
	o, err := m.create(t.Context(), "demo", by, "k1", cmd)
	m.must(err)
	m.expect("amount", o.Amount, int64(2*1000+2500))
	m.expect("state", o.State, proto.OrderState_ORDER_STATE_AWAITING_PAYMENT)
	m.expect("window", o.ExpiresAtMs-o.CreatedMs >= 30*60*1000 && o.ExpiresAtMs-o.CreatedMs < 30*60*1000+5000, true)
	m.expect("lines", len(o.Lines), 2)
	m.expect("line", proto.Equal(o.Lines[0], &proto.OrderLine{ListingId: "tea-s", SkuId: "k-tea-s", Title: "Tea · S", ImageUrl: "/tea.svg", Quantity: 2, UnitPrice: 1000}), true)
	m.expect("address", proto.Equal(o.ShipTo, cmd.ShipTo), true)
	m.expect("sku", m.counts("k-tea-s"), [2]int64{2, 0})
	m.expect("attribution", scan[string](m, `SELECT source || guide FROM orders WHERE id = $1`, o.Id), "wechatg7")
	ev := private(1)[0]
	m.expect("told", ev.UserId, "ann")
	m.expect("told of it", proto.Equal(ev.Event.GetOrderUpdated().Order, o), true)

	again, err := m.create(t.Context(), "demo", by, "k1", cmd)
	m.must(err)
	m.expect("the same order again", proto.Equal(again, o), true)
	m.expect("sku after the repetition", m.counts("k-tea-s"), [2]int64{2, 0})
	_, err = m.create(t.Context(), "demo", by, "k1", items("tea-s", 3))
	m.refused(err, ErrKeyConflict)
	_, err = m.create(t.Context(), "", by, "k1", cmd)
	m.refused(err, ErrKeyConflict)
	other, err := m.create(t.Context(), "demo", buyer("bob"), "k1", items("tea-s", 1))
	m.must(err)
	m.expect("another buyer's key is another key", other.Id != o.Id, true)
}

func TestCreateOrderIsAllOrNothing(t *testing.T) {
	m := newMarket(t)
	_, err := m.create(t.Context(), "demo", buyer("ann"), "k1", items("tea-s", 1, "pot", 4))
	m.refused(err, ErrSoldOut)
	m.expect("tea", m.counts("k-tea-s"), [2]int64{0, 0})
	m.expect("orders", scan[int](m, `SELECT count(*) FROM orders`), 0)

	// The outcome stays under its key though there would be enough now; another key is a new attempt.
	m.put(pot(), map[string]int64{"k-pot": 50})
	_, err = m.create(t.Context(), "demo", buyer("ann"), "k1", items("tea-s", 1, "pot", 4))
	m.refused(err, ErrSoldOut)
	_, err = m.cart.Order(t.Context(), "ann", &proto.OrderGet{OfRequestId: "k1"})
	m.refused(err, ErrSoldOut)
	m.order("k2", "tea-s", 1, "pot", 4)
}

func TestTwoListingsOfOneSkuShareItsPieces(t *testing.T) {
	m := newMarket(t)
	p := tea()
	p.Listings = append(p.Listings, &proto.Listing{Id: "tea-gift", SkuId: "k-tea-s", Name: "gift box", Price: 1500})
	m.put(p, nil)
	_, err := m.create(t.Context(), "demo", buyer("ann"), "k1", items("tea-s", 6, "tea-gift", 5))
	m.refused(err, ErrSoldOut)
	m.order("k2", "tea-s", 5, "tea-gift", 5)
	m.expect("sku", m.counts("k-tea-s"), [2]int64{10, 0})
}

func TestSaleAndOrdersShareTheSku(t *testing.T) {
	m := newMarket(t)
	m.flashOrder("f1", 1) // moves 6 of 10
	_, err := m.create(t.Context(), "demo", buyer("ann"), "k1", items("tea-s", 5))
	m.refused(err, ErrSoldOut)
	m.order("k2", "tea-s", 4)
}

func TestCreateOrderRefusals(t *testing.T) {
	m := newMarket(t)
	m.put(&proto.Product{Id: "off", ShopId: "shop", Title: "Off", Listings: []*proto.Listing{{Id: "off", SkuId: "k-off", Price: 1}}}, map[string]int64{"k-off": 9})
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "off", 0))
	m.put(&proto.Product{Id: "back", ShopId: "shop", Title: "Back room", OnSale: true, Listings: []*proto.Listing{{Id: "back", SkuId: "k-back", Price: 1}}}, map[string]int64{"k-back": 9})
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	m.put(&proto.Product{Id: "bag", ShopId: "other", Title: "Bag", OnSale: true, Listings: []*proto.Listing{{Id: "bag", SkuId: "k-bag", Price: 1}}}, map[string]int64{"k-bag": 9})
	invalid := proto.Refuse(proto.ReasonInvalidArgument, "")
	many := func(n int) *proto.OrderCreate {
		cmd := new(proto.OrderCreate)
		for i := range n {
			cmd.Items = append(cmd.Items, &proto.OrderItem{ListingId: fmt.Sprint("l", i), Quantity: 1})
		}
		return cmd
	}
	badAddress := items("tea-s", 1)
	badAddress.ShipTo = &proto.Address{Name: "Ann"}
	for _, row := range []struct {
		name, room, buyer, key string
		cmd                    *proto.OrderCreate
		want                   error
	}{
		{"not signed in", "demo", "", "k", items("tea-s", 1), ErrSignInRequired},
		{"a buyer who cannot be kept", "demo", "an\x00n", "k", items("tea-s", 1), invalid},
		{"no key", "demo", "ann", "", items("tea-s", 1), ErrRequestIDRequired},
		{"a long key", "demo", "ann", strings.Repeat("é", 65), items("tea-s", 1), ErrRequestIDRequired},
		{"no lines", "demo", "ann", "k", items(), invalid},
		{"too many lines", "demo", "ann", "k", many(21), invalid},
		{"as many lines as allowed, of nothing", "demo", "ann", "k", many(20), ErrListingNotFound},
		{"no pieces", "demo", "ann", "k", items("tea-s", 0), ErrInvalidQuantity},
		{"negative pieces", "demo", "ann", "k", items("tea-s", -1), ErrInvalidQuantity},
		{"one piece too many for a line", "demo", "ann", "k", items("tea-s", 100), ErrInvalidQuantity},
		{"huge quantity", "demo", "ann", "k", items("tea-s", math.MaxInt32), ErrInvalidQuantity},
		{"a listing twice", "demo", "ann", "k", items("tea-s", 1, "tea-s", 1), invalid},
		{"unknown listing", "demo", "ann", "k", items("tea-s", 1, "nope", 1), ErrListingNotFound},
		{"listing that is no id", "demo", "ann", "k", items("a b\x00", 1), ErrListingNotFound},
		{"off sale", "demo", "ann", "k", items("off", 1), ErrProductOffSale},
		{"not on the shelf", "demo", "ann", "k", items("back", 1), ErrProductNotInRoom},
		{"unknown room", "nowhere", "ann", "k", items("tea-s", 1), ErrRoomNotFound},
		{"address without its fields", "demo", "ann", "k", badAddress, invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			o, err := m.create(t.Context(), row.room, buyer(row.buyer), row.key, row.cmd)
			m.refused(err, row.want)
			m.expect("order", o == nil, true)
		})
	}
	m.expect("orders", scan[int](m, `SELECT count(*) FROM orders`), 0)
	m.expect("attempts", scan[int](m, `SELECT count(*) FROM attempt`), 0)
	m.order("k", "tea-s", 1) // none of the refusals used the key up
	_, err := m.create(t.Context(), "", buyer("ann"), "outside", items("back", 1))
	m.must(err)
}

// TestCreateOrderAtOnce has many buyers, each sending twice at once, fight for ten pieces in baskets
// that name the skus in different orders.
func TestCreateOrderAtOnce(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 10, "k-tea-l": 10})
	const buyers = 25
	var ids [buyers][2]string
	var wg sync.WaitGroup
	for i := range buyers {
		cmd := items("tea-s", 1, "tea-l", 1)
		if i%2 == 1 {
			cmd = items("tea-l", 1, "tea-s", 1)
		}
		for j := range 2 {
			wg.Go(func() {
				o, err := m.create(t.Context(), "demo", buyer(fmt.Sprint("b", i)), "k", cmd)
				if err != nil {
					m.refused(err, ErrSoldOut)
					return
				}
				ids[i][j] = o.Id
			})
		}
	}
	wg.Wait()
	made := 0
	for i, id := range ids {
		if id[0] != id[1] {
			t.Errorf("buyer %d got %q and %q for one key", i, id[0], id[1])
		}
		if id[0] != "" {
			made++
		}
	}
	m.expect("orders made", made, 10)
	m.expect("sold", m.counts("k-tea-s"), [2]int64{10, 0})
}

// TestPriceIsReadUnderTheLock has an order wait for a change of price and then take the new one.
func TestPriceIsReadUnderTheLock(t *testing.T) {
	m := newMarket(t)
	tx, err := m.pool().Begin(t.Context())
	m.must(err)
	defer tx.Rollback(t.Context())
	p, err := lockProduct(t.Context(), tx, "tea")
	m.must(err)
	m.must(editProduct(t.Context(), tx, p, &proto.ProductUpdate{Prices: []*proto.ListingPrice{{ListingId: "tea-s", Price: 777}}}))
	done := make(chan *proto.Order, 1)
	go func() {
		o, err := m.create(t.Context(), "demo", buyer("ann"), "k", items("tea-s", 1))
		if err != nil {
			t.Error(err)
		}
		done <- o
	}()
	m.waitForLock()
	m.must(tx.Commit(t.Context()))
	m.expect("amount", (<-done).GetAmount(), int64(777))
}

func TestOrderOfRequest(t *testing.T) {
	m := newMarket(t)
	o := m.order("k1", "tea-s", 1)
	f := m.flashOrder("f1", 1)
	for _, row := range []struct {
		name, user string
		cmd        *proto.OrderGet
		want       string
		err        error
	}{
		{"by id", "ann", &proto.OrderGet{OrderId: o.Id}, o.Id, nil},
		{"by the key of order_create", "ann", &proto.OrderGet{OfRequestId: "k1"}, o.Id, nil},
		{"by the key of flash_buy", "ann", &proto.OrderGet{OfRequestId: "f1"}, f.Id, nil},
		{"another's by id", "bob", &proto.OrderGet{OrderId: o.Id}, "", ErrOrderNotFound},
		{"another's by key", "bob", &proto.OrderGet{OfRequestId: "k1"}, "", ErrOrderNotFound},
		{"unknown id", "ann", &proto.OrderGet{OrderId: "ord_0"}, "", ErrOrderNotFound},
		{"unknown key", "ann", &proto.OrderGet{OfRequestId: "zz"}, "", ErrOrderNotFound},
		{"id with NUL", "ann", &proto.OrderGet{OrderId: "ord\x00"}, "", ErrOrderNotFound},
		{"key with NUL", "ann", &proto.OrderGet{OfRequestId: "k\x00"}, "", ErrRequestIDRequired},
		{"neither", "ann", &proto.OrderGet{}, "", ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := m.cart.Order(t.Context(), row.user, row.cmd)
			m.expect("order", got.GetId(), row.want)
			m.expect("no error", err == nil, row.err == nil)
			if row.err != nil {
				m.refused(err, row.err)
			}
		})
	}
	for outcome, want := range map[string]error{
		"sold_out": ErrSoldOut, "limit_per_buyer": ErrLimitPerBuyer, "sale_ended": ErrSaleEnded, "void": ErrAttemptExpired, "rejected": ErrRejected,
	} {
		m.exec(`INSERT INTO attempt (buyer_id, key, kind, hash, outcome) VALUES ('ann', $1, 'flash_buy', 'x', $2)`, "of "+outcome, outcome)
		_, err := m.cart.Order(t.Context(), "ann", &proto.OrderGet{OfRequestId: "of " + outcome})
		m.refused(err, want)
	}
}

func TestPagesOfOrders(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 100})
	var want []string
	for i := range 7 {
		o := m.order(fmt.Sprint("k", i), "tea-s", 1)
		want = append([]string{o.Id}, want...)
	}
	// Several of one moment: the id decides.
	m.exec(`UPDATE orders SET created_at = '2026-01-02 03:04:05.678901Z'`)
	_, err := m.create(t.Context(), "demo", buyer("bob"), "k", items("tea-s", 1))
	m.must(err)
	pages := map[string]func(cursor string) (*proto.OrderPage, error){
		"own": func(cursor string) (*proto.OrderPage, error) {
			return m.cart.Orders(t.Context(), "ann", &proto.OrderList{Limit: 3, Cursor: cursor})
		},
		"shop's": func(cursor string) (*proto.OrderPage, error) {
			return m.cart.ShopOrders(t.Context(), "shop", "", cursor, 3)
		},
		"shop's in the room": func(cursor string) (*proto.OrderPage, error) {
			return m.cart.ShopOrders(t.Context(), "shop", "demo", cursor, 3)
		},
	}
	for name, read := range pages {
		t.Run(name, func(t *testing.T) {
			var got []string
			cursor := ""
			for n := 0; n < 10; n++ {
				page, err := read(cursor)
				m.must(err)
				for _, o := range page.Orders {
					if o.Buyer.Id == "ann" {
						got = append(got, o.Id)
					}
				}
				if cursor = page.NextCursor; cursor == "" {
					break
				}
			}
			m.expect("orders over all pages", fmt.Sprint(got), fmt.Sprint(want))
		})
	}
	full, err := m.cart.Orders(t.Context(), "ann", &proto.OrderList{Limit: 7})
	m.must(err)
	m.expect("cursor of a last page that is full", full.NextCursor, "")
	elsewhere, err := m.cart.ShopOrders(t.Context(), "shop", "other-room", "", 0)
	m.must(err)
	m.expect("orders of another room", len(elsewhere.Orders), 0)
	for _, cursor := range []string{"x", "%%%", makeCursorText("5"), makeCursorText("a.ord_1"), makeCursorText("-1.ord_1"), makeCursorText("9223372036854775807.ord_1"), strings.Repeat("A", 5000)} {
		_, err := m.cart.Orders(t.Context(), "ann", &proto.OrderList{Cursor: cursor})
		m.refused(err, ErrCursor)
	}
	for _, limit := range []int32{-1, 51, math.MaxInt32} {
		_, err := m.cart.Orders(t.Context(), "ann", &proto.OrderList{Limit: limit})
		m.refused(err, ErrInvalid)
	}
}

func TestSelf(t *testing.T) {
	m := newMarket(t)
	m.put(tea(), map[string]int64{"k-tea-s": 100})
	for i := range 22 {
		m.order(fmt.Sprint("k", i), "tea-s", 1)
	}
	newest := m.order("newest", "tea-s", 1)
	gone := m.order("gone", "tea-s", 1)
	_, err := m.cart.Cancel(t.Context(), "ann", "c", gone.Id)
	m.must(err)
	bobs, err := m.create(t.Context(), "demo", buyer("bob"), "k", items("pot", 1))
	m.must(err)
	selves := map[string]*proto.SessionSelf{"ann": {}, "bob": {}, "cid": {}}
	m.must(store.InSnapshot(t.Context(), m.pool(), func(tx pgx.Tx) error { return m.cart.Self(t.Context(), tx, "demo", selves) }))
	m.expect("ann's", len(selves["ann"].OpenOrders), 20)
	m.expect("ann's newest", selves["ann"].OpenOrders[0].Id, newest.Id)
	m.expect("bob's", len(selves["bob"].OpenOrders), 1)
	m.expect("bob's order", proto.Equal(selves["bob"].OpenOrders[0], bobs), true)
	m.expect("cid's", len(selves["cid"].OpenOrders), 0)
}
