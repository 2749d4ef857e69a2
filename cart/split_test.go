package cart

import (
	"fmt"
	"testing"

	"livecart/proto"
)

// partner adds a shop "other" with product "bag" (listing bag at 700) on the room's shelf.
func (m *market) partner() {
	m.t.Helper()
	m.must(m.cart.PutShop(m.t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	m.put(bag(), map[string]int64{"k-bag": 4})
	m.must(m.cart.PutAnyOnShelf(m.t.Context(), "demo", "bag", 0))
}

func bag() *proto.Product {
	return &proto.Product{Id: "bag", ShopId: "other", Title: "Bag", OnSale: true, Listings: []*proto.Listing{{Id: "bag", SkuId: "k-bag", Price: 700}}}
}

func TestOrdersAreSplitByShop(t *testing.T) {
	m := newMarket(t)
	m.partner()
	private := m.listen()
	cmd := items("bag", 2, "tea-s", 1, "bag-x", 1, "tea-l", 1)
	two := bag()
	two.Listings = append(two.Listings, &proto.Listing{Id: "bag-x", SkuId: "k-bag", Name: "X", Price: 900})
	m.put(two, nil)
	cmd.ShipTo = goodAddress()
	orders, err := m.cart.CreateOrders(t.Context(), "demo", buyer("ann"), "k", cmd)
	m.must(err)
	m.expect("orders", len(orders), 2)
	for i, want := range []struct {
		shop, currency, lines string
		amount                int64
	}{{"other", "USD", "bag bag-x", 2300}, {"shop", "CNY", "tea-s tea-l", 3500}} {
		o := orders[i]
		m.expect("shop", o.ShopId, want.shop)
		m.expect("currency", o.Currency, want.currency)
		m.expect("amount", o.Amount, want.amount)
		m.expect("lines", fmt.Sprint(o.Lines[0].ListingId, " ", o.Lines[1].ListingId), want.lines)
		m.expect("address", proto.Equal(o.ShipTo, cmd.ShipTo), true)
		m.expect("request", o.RequestId, "k")
	}
	told := private(2)
	for i := range orders {
		m.expect("told", proto.Equal(told[i].Event.GetOrderUpdated().Order, orders[i]), true)
	}
	same := func(got []*proto.Order, err error) {
		t.Helper()
		m.must(err)
		m.expect("the same set", len(got) == 2 && proto.Equal(got[0], orders[0]) && proto.Equal(got[1], orders[1]), true)
	}
	same(m.cart.CreateOrders(t.Context(), "demo", buyer("ann"), "k", cmd))
	same(m.cart.OrdersOf(t.Context(), "ann", "k"))
	first, err := m.cart.Order(t.Context(), "ann", &proto.OrderGet{OfRequestId: "k"})
	m.must(err)
	m.expect("the first", proto.Equal(first, orders[0]), true)
	m.expect("attempts", scan[int](m, `SELECT count(*) FROM attempt`), 1)
	m.expect("bags", m.counts("k-bag"), [2]int64{3, 0})

	// Each order goes its own way.
	_, err = m.cart.Cancel(t.Context(), "ann", "c", orders[0].Id)
	m.must(err)
	m.settle(orders[1])
	m.expect("cancelled", m.state(orders[0].Id), cancelled)
	m.expect("paid", m.state(orders[1].Id), paid)
	m.expect("bags", m.counts("k-bag"), [2]int64{0, 0})
}

func TestSplitOrdersAreAllOrNothing(t *testing.T) {
	m := newMarket(t)
	m.partner()
	_, err := m.cart.CreateOrders(t.Context(), "demo", buyer("ann"), "k", items("tea-s", 1, "bag", 5))
	m.refused(err, ErrSoldOut)
	_, err = m.cart.OrdersOf(t.Context(), "ann", "k")
	m.refused(err, ErrSoldOut)
	_, err = m.cart.CreateOrders(t.Context(), "demo", buyer("ann"), "k", items("tea-s", 1, "bag", 4))
	m.refused(err, ErrKeyConflict)
	m.expect("orders", scan[int](m, `SELECT count(*) FROM orders`), 0)
	m.expect("tea", m.counts("k-tea-s"), [2]int64{0, 0})
}

// A room sells what stands on its shelf, but only a product's own shop changes it.
func TestPartnersProductInTheRoom(t *testing.T) {
	m := newMarket(t)
	m.partner()
	host := &proto.User{Id: "h1", Role: proto.Role_ROLE_HOST}
	_, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "bag"})
	m.must(err)
	sale, err := m.cart.StartSale(t.Context(), "demo", host, "s", &proto.FlashStart{ListingId: "bag", Price: 500, Quantity: 2, DurationMs: 60_000})
	m.must(err)
	m.expect("the sale is of the product's shop", scan[string](m, `SELECT shop_id FROM sale WHERE id = $1`, sale.Id), "other")
	version := scan[int64](m, `SELECT version FROM product WHERE id = 'bag'`)
	title, onSale, first, gone := "Mine", false, int32(1), int32(0)
	for _, cmd := range []*proto.ProductUpdate{
		{Title: &title}, {OnSale: &onSale}, {Prices: []*proto.ListingPrice{{ListingId: "bag", Price: 1}}}, {Position: &first, Title: &title},
	} {
		cmd.ProductId, cmd.ExpectedVersion = "bag", version
		_, err := m.cart.UpdateProduct(t.Context(), "demo", host, cmd)
		m.refused(err, ErrForbidden)
	}
	head := m.head()
	p, err := m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{ProductId: "bag", ExpectedVersion: version, Position: &first})
	m.must(err)
	m.expect("version", p.Version, version)
	m.expect("told of the place", m.events(head)[0].GetProductUpdated().GetPosition(), int32(1))
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "bag", 2)) // it stands there already
	_, err = m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{ProductId: "bag", ExpectedVersion: version, Position: &gone})
	m.must(err)
	m.expect("on the shelf", scan[int](m, `SELECT count(*) FROM shelf WHERE product_id = 'bag'`), 0)
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "bag", 0), ErrForbidden)
}
