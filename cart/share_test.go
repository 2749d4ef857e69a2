package cart

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"livecart/proto"
)

// shared adds a shop "other" whose product "blend" (listing blend at 1500) is of shop's sku k-tea-s, of
// which there are ten pieces.
func (m *market) shared() {
	m.t.Helper()
	m.must(m.cart.PutShop(m.t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	m.must(m.cart.ShareSku(m.t.Context(), "shop", "k-tea-s", "other"))
	m.put(blend(), nil)
}

func blend() *proto.Product {
	return &proto.Product{Id: "blend", ShopId: "other", Title: "Blend", OnSale: true, Listings: []*proto.Listing{{Id: "blend", SkuId: "k-tea-s", Price: 1500}}}
}

// TestPoolOfTwoShops has both shops sell out of one pool at once.
func TestPoolOfTwoShops(t *testing.T) {
	m := newMarket(t)
	m.shared()
	var sold, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 30 {
		cmd := items([]string{"tea-s", "blend"}[i%2], 1)
		if i%5 == 0 {
			cmd = items("tea-s", 1, "blend", 1)
		}
		wg.Go(func() {
			orders, err := m.cart.CreateOrders(t.Context(), "", buyer(fmt.Sprint("b", i)), "k", cmd)
			if err != nil {
				refused.Add(1)
				m.refused(err, ErrSoldOut)
			}
			for _, o := range orders {
				sold.Add(int64(o.Lines[0].Quantity))
			}
		})
	}
	wg.Wait()
	m.expect("pieces in orders", sold.Load(), int64(10))
	m.expect("pool", m.counts("k-tea-s"), [2]int64{10, 0})
	m.expect("some were refused", refused.Load() > 0, true)
	m.expect("listings of one order count together", scan[int](m, `
		SELECT count(*) FROM orders o WHERE split_from IS NOT NULL AND NOT EXISTS (SELECT FROM orders WHERE id = o.split_from)`), 0)
}

func TestSalesOfTwoShopsMoveFromOnePool(t *testing.T) {
	m := newMarket(t)
	m.shared()
	m.exec(`INSERT INTO room (id, title, phase, host_id, host_name, shop_id) VALUES ('theirs', 'Blends', 'live', 'h2', 'Otto', 'other')`)
	m.must(m.cart.PutOnShelf(t.Context(), "theirs", "blend", 0))
	start := func(room, key, listing string, n int64) (*proto.FlashSale, error) {
		return m.cart.StartSale(t.Context(), room, &proto.User{Id: "op"}, key, &proto.FlashStart{ListingId: listing, Price: 100, Quantity: n, DurationMs: 60_000})
	}
	_, err := start("theirs", "much", "blend", 11)
	m.refused(err, ErrInvalidQuantity)
	sale, err := start("theirs", "s", "blend", 6)
	m.must(err)
	_, err = start("demo", "s2", "tea-s", 1)
	m.refused(err, ErrSaleRunning)
	_, err = m.create(t.Context(), "demo", buyer("ann"), "k", items("tea-s", 5))
	m.refused(err, ErrSoldOut)
	m.order("k2", "tea-s", 4)
	m.must(m.cart.UnshareSku(t.Context(), "shop", "k-tea-s", "other"))
	_, err = m.cart.UpdateSale(t.Context(), "theirs", &proto.User{Id: "op"}, "u", &proto.FlashUpdate{SaleId: sale.Id, ExpectedVersion: 1, EndsAtMs: &sale.EndsAtMs})
	m.must(err) // what runs goes on
	m.expect("pool", m.counts("k-tea-s"), [2]int64{4, 6})
}

func TestShareOfSku(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	_, err := m.cart.PutProduct(t.Context(), blend(), nil)
	m.refused(err, ErrForbidden)
	for _, row := range []struct {
		name, shop, sku, other string
		want                   error
	}{
		{"with itself", "shop", "k-tea-s", "shop", ErrInvalid},
		{"no such sku", "shop", "nope", "other", ErrSkuNotFound},
		{"no id of a sku", "shop", "a\x00", "other", ErrSkuNotFound},
		{"another's sku", "other", "k-tea-s", "shop", ErrSkuNotFound},
		{"no such shop", "shop", "k-tea-s", "nope", ErrShopNotFound},
		{"no id of a shop", "shop", "k-tea-s", "a\x00", ErrShopNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			m.refused(m.cart.ShareSku(t.Context(), row.shop, row.sku, row.other), row.want)
		})
	}
	m.expect("shares", scan[int](m, `SELECT count(*) FROM sku_share`), 0)

	m.must(m.cart.ShareSku(t.Context(), "shop", "k-tea-s", "other"))
	m.must(m.cart.ShareSku(t.Context(), "shop", "k-tea-s", "other"))
	_, err = m.cart.PutProduct(t.Context(), blend(), map[string]int64{"k-tea-s": 99})
	m.refused(err, ErrForbidden)
	m.expect("stock", scan[int64](m, `SELECT stock FROM sku WHERE id = 'k-tea-s'`), int64(10))
	m.put(blend(), nil)
	_, err = m.create(t.Context(), "", buyer("ann"), "k1", items("blend", 1))
	m.must(err)

	m.must(m.cart.UnshareSku(t.Context(), "shop", "k-tea-s", "other"))
	m.must(m.cart.UnshareSku(t.Context(), "shop", "k-tea-s", "other"))
	_, err = m.create(t.Context(), "", buyer("ann"), "k2", items("blend", 1))
	m.refused(err, ErrProductOffSale)
	_, err = m.cart.PutProduct(t.Context(), blend(), nil)
	m.refused(err, ErrForbidden)
}

// A shop whose skus are shared with the room's shop lets its products stand on that room's shelf.
func TestSharedProductOnTheShelf(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "CNY"}))
	two := bag()
	two.Listings = append(two.Listings, &proto.Listing{Id: "bag-x", SkuId: "k-bag-x", Price: 900})
	m.put(two, map[string]int64{"k-bag": 4, "k-bag-x": 1})
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "bag", 0), ErrForbidden)
	m.must(m.cart.ShareSku(t.Context(), "other", "k-bag", "shop"))
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "bag", 0), ErrForbidden)
	m.must(m.cart.ShareSku(t.Context(), "other", "k-bag-x", "shop"))
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "bag", 0))
	o, err := m.create(t.Context(), "demo", buyer("ann"), "k", items("bag", 1))
	m.must(err)
	m.expect("the order is its shop's", o.ShopId, "other")

	// Taken back for one sku, it is off the shelf and out of reach.
	_, err = m.cart.Push(t.Context(), "demo", &proto.User{Id: "h1"}, &proto.ProductPush{ProductId: "bag"})
	m.must(err)
	before := m.head()
	m.must(m.cart.UnshareSku(t.Context(), "other", "k-bag-x", "shop"))
	_, err = m.cart.StartSale(t.Context(), "demo", &proto.User{Id: "h1"}, "s", &proto.FlashStart{ListingId: "bag", Price: 1, Quantity: 1, DurationMs: 60_000})
	m.refused(err, ErrProductNotInRoom)
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "bag", 0), ErrForbidden)
	m.expect("shelf", scan[string](m, `SELECT string_agg(product_id || position, ' ' ORDER BY position) FROM shelf WHERE room_id = 'demo'`), "tea1 pot2")
	told := m.events(before)
	if len(told) != 2 || told[0].GetProductUpdated().GetProduct().GetId() != "bag" || told[0].GetProductUpdated().Position != 0 || told[1].GetProductPushed() == nil || told[1].GetProductPushed().Product != nil {
		t.Errorf("the room was told %v", told)
	}
	m.must(m.cart.UnshareSku(t.Context(), "other", "k-bag-x", "shop"))
	m.expect("told once", m.head(), before+2)
}

// TestNothingIsShelvedOnAShareThatEnds has a shelf wait for the share's end.
func TestNothingIsShelvedOnAShareThatEnds(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "CNY"}))
	m.put(bag(), map[string]int64{"k-bag": 4})
	m.must(m.cart.ShareSku(t.Context(), "other", "k-bag", "shop"))
	put := m.whileTheShareEnds("k-bag", func() error { return m.cart.PutOnShelf(t.Context(), "demo", "bag", 0) })
	m.refused(put, ErrForbidden)
}

// whileTheShareEnds calls do while a sku's shares are being taken back, and lets them be once it waits.
func (m *market) whileTheShareEnds(sku string, do func() error) error {
	m.t.Helper()
	tx, err := m.pool().Begin(m.t.Context())
	m.must(err)
	defer tx.Rollback(context.WithoutCancel(m.t.Context()))
	_, err = tx.Exec(m.t.Context(), `SELECT FROM sku WHERE id = $1 FOR UPDATE`, sku)
	m.must(err)
	_, err = tx.Exec(m.t.Context(), `DELETE FROM sku_share WHERE sku_id = $1`, sku)
	m.must(err)
	done := make(chan error, 1)
	go func() { done <- do() }()
	m.waitForLock()
	m.must(tx.Commit(m.t.Context()))
	return <-done
}

// TestNoSaleStartsOnAShareThatEnds has a sale wait for the share's end.
func TestNoSaleStartsOnAShareThatEnds(t *testing.T) {
	m := newMarket(t)
	m.shared()
	m.exec(`INSERT INTO room (id, title, phase, host_id, host_name, shop_id) VALUES ('theirs', 'Blends', 'live', 'h2', 'Otto', 'other')`)
	m.must(m.cart.PutOnShelf(t.Context(), "theirs", "blend", 0))
	started := m.whileTheShareEnds("k-tea-s", func() error {
		_, err := m.cart.StartSale(t.Context(), "theirs", &proto.User{Id: "op"}, "s", &proto.FlashStart{ListingId: "blend", Price: 100, Quantity: 1, DurationMs: 60_000})
		return err
	})
	m.refused(started, ErrProductOffSale)
	m.expect("pool", m.counts("k-tea-s"), [2]int64{0, 0})
}
