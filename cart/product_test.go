package cart

import (
	"strings"
	"testing"

	"livecart/proto"
)

func TestPutShop(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "shop", Name: "May & Co", Currency: "CNY"}))
	s, err := m.cart.Shop(t.Context(), "shop")
	m.must(err)
	m.expect("shop", s, Shop{ID: "shop", Name: "May & Co", Currency: "CNY"})
	for name, bad := range map[string]Shop{
		"another currency":   {ID: "shop", Name: "May", Currency: "USD"},
		"no name":            {ID: "shop", Currency: "CNY"},
		"a long name":        {ID: "shop", Name: strings.Repeat("é", 121), Currency: "CNY"},
		"a name not of text": {ID: "shop", Name: "a\x00b", Currency: "CNY"},
		"no UTF-8":           {ID: "shop", Name: "\xff", Currency: "CNY"},
		"bad id":             {ID: "a b", Name: "x", Currency: "CNY"},
		"bad currency":       {ID: "x", Name: "x", Currency: "yuan"},
	} {
		t.Run(name, func(t *testing.T) { m.refused(m.cart.PutShop(t.Context(), bad), ErrInvalid) })
	}
	_, err = m.cart.Shop(t.Context(), "nope")
	m.refused(err, ErrShopNotFound)
	now, err := m.cart.Shop(t.Context(), "shop")
	m.must(err)
	m.expect("shop after the refusals", now, s)
}

func TestPutProduct(t *testing.T) {
	m := newMarket(t)
	head := m.head()
	same := m.put(tea(), map[string]int64{"k-tea-s": 10})
	m.expect("version of the same again", same.Version, int64(1))
	m.expect("currency", same.Currency, "CNY")
	m.expect("available", same.Listings[1].Available, int64(5))
	stocked := m.put(tea(), map[string]int64{"k-tea-s": 12})
	m.expect("version after new stock", stocked.Version, int64(1))
	m.expect("available after new stock", stocked.Listings[0].Available, int64(12))
	m.expect("nobody was told", m.head(), head)

	p := tea()
	p.Listings[0].Price = 1100
	changed := m.put(p, nil)
	m.expect("version", changed.Version, int64(2))
	events := m.events(head)
	m.expect("events", len(events), 1)
	m.expect("told", proto.Equal(events[0].GetProductUpdated(), &proto.ProductUpdated{Product: changed, Position: 1}), true)
	read, err := m.cart.Product(t.Context(), "tea")
	m.must(err)
	m.expect("read", proto.Equal(read, changed), true)
	_, err = m.cart.Product(t.Context(), "nope")
	m.refused(err, ErrProductNotFound)
}

func TestPutProductRefusals(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	m.order("k", "tea-s", 4)
	for _, row := range []struct {
		name   string
		change func(p *proto.Product)
		stock  map[string]int64
		want   error
	}{
		{"stock below what is sold", func(*proto.Product) {}, map[string]int64{"k-tea-s": 3}, ErrInvalidQuantity},
		{"negative stock", func(*proto.Product) {}, map[string]int64{"k-tea-s": -1}, ErrInvalidQuantity},
		{"too much stock", func(*proto.Product) {}, map[string]int64{"k-tea-s": MaxStock + 1}, ErrInvalidQuantity},
		{"stock of a sku elsewhere", func(*proto.Product) {}, map[string]int64{"k-pot": 9}, ErrInvalid},
		{"another shop's", func(p *proto.Product) { p.ShopId = "other" }, nil, ErrForbidden},
		{"unknown shop", func(p *proto.Product) { p.ShopId = "nope" }, nil, ErrShopNotFound},
		{"no price", func(p *proto.Product) { p.Listings[0].Price = 0 }, nil, ErrInvalid},
		{"negative price", func(p *proto.Product) { p.Listings[0].Price = -5 }, nil, ErrInvalid},
		{"price beyond the highest", func(p *proto.Product) { p.Listings[0].Price = MaxPrice + 1 }, nil, ErrInvalid},
		{"no listings", func(p *proto.Product) { p.Listings = nil }, nil, ErrInvalid},
		{"too many listings", func(p *proto.Product) {
			for len(p.Listings) <= MaxListings {
				p.Listings = append(p.Listings, p.Listings[0])
			}
		}, nil, ErrInvalid},
		{"a listing twice", func(p *proto.Product) { p.Listings[1].Id = "tea-s" }, nil, ErrInvalid},
		{"a sku without stock", func(p *proto.Product) { p.Listings[0].SkuId = "k-new" }, nil, ErrInvalid},
		{"another product's listing", func(p *proto.Product) { p.Listings[0].Id = "pot" }, nil, ErrForbidden},
		{"a listing moved to another sku", func(p *proto.Product) { p.Listings[0].SkuId = "k-tea-l" }, nil, ErrForbidden},
		{"no title", func(p *proto.Product) { p.Title = "" }, nil, ErrInvalid},
		{"long title", func(p *proto.Product) { p.Title = strings.Repeat("x", 121) }, nil, ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := tea()
			row.change(p)
			_, err := m.cart.PutProduct(t.Context(), p, row.stock)
			m.refused(err, row.want)
		})
	}
	m.expect("stock", scan[int64](m, `SELECT stock FROM sku WHERE id = 'k-tea-s'`), int64(10))
	m.put(tea(), map[string]int64{"k-tea-s": 4})
}

func TestUpdateProduct(t *testing.T) {
	m := newMarket(t)
	head := m.head()
	title, first := "Green tea", int32(2)
	p, err := m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{
		ProductId: "tea", ExpectedVersion: 1, Title: &title, Position: &first, Prices: []*proto.ListingPrice{{ListingId: "tea-l", Price: 2000}},
	})
	m.must(err)
	m.expect("version", p.Version, int64(2))
	m.expect("title", p.Title, title)
	m.expect("price", p.Listings[1].Price, int64(2000))
	m.expect("untouched", p.OnSale, true)
	m.expect("shelf", m.shelf(), "pot tea")
	events := m.events(head)
	m.expect("events", len(events), 1)
	m.expect("told", proto.Equal(events[0].GetProductUpdated(), &proto.ProductUpdated{Product: p, Position: 2}), true)

	_, err = m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.must(err)
	head = m.head()
	off := false
	_, err = m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 2, OnSale: &off})
	m.must(err)
	events = m.events(head)
	m.expect("events", len(events), 2)
	m.expect("off sale", events[0].GetProductUpdated().Product.OnSale, false)
	m.expect("off show", events[1].GetProductPushed() != nil && events[1].GetProductPushed().Product == nil, true)

	head = m.head()
	none := int32(0)
	_, err = m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{ProductId: "pot", ExpectedVersion: 1, Position: &none})
	m.must(err)
	m.expect("shelf", m.shelf(), "tea")
	m.expect("told of the removal", m.events(head)[0].GetProductUpdated().Position, int32(0))
}

func TestUpdateProductRefusals(t *testing.T) {
	m := newMarket(t)
	m.simpleProduct("back")
	m.exec(`INSERT INTO room (id, title, host_id, host_name, shop_id) VALUES ('bare', 'Bare', 'h1', 'May', 'shop')`)
	head := m.head()
	empty, down := "", int32(-1)
	for _, row := range []struct {
		name, room string
		cmd        *proto.ProductUpdate
		want       error
	}{
		{"no room", "nowhere", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1}, ErrRoomNotFound},
		{"not on the shelf", "demo", &proto.ProductUpdate{ProductId: "back", ExpectedVersion: 1}, ErrProductNotInRoom},
		{"on another room's shelf", "bare", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1}, ErrProductNotInRoom},
		{"no such product", "demo", &proto.ProductUpdate{ProductId: "nope", ExpectedVersion: 1}, ErrProductNotInRoom},
		{"old version", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 0}, ErrVersionConflict},
		{"version to come", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 2}, ErrVersionConflict},
		{"empty title", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1, Title: &empty}, ErrInvalid},
		{"negative position", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1, Position: &down}, ErrInvalid},
		{"price of 0", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1, Prices: []*proto.ListingPrice{{ListingId: "tea-s"}}}, ErrInvalid},
		{"another product's listing", "demo", &proto.ProductUpdate{ProductId: "tea", ExpectedVersion: 1,
			Prices: []*proto.ListingPrice{{ListingId: "tea-s", Price: 1}, {ListingId: "pot", Price: 1}}}, ErrListingNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.UpdateProduct(t.Context(), row.room, host, row.cmd)
			m.refused(err, row.want)
		})
	}
	p, err := m.cart.Product(t.Context(), "tea")
	m.must(err)
	m.expect("price", p.Listings[0].Price, int64(1000))
	m.expect("events", m.head(), head)
}
