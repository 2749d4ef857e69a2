package cart

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

var host = &proto.User{Id: "h1", Name: "May", Role: proto.Role_ROLE_HOST}

func (m *market) shelf() string {
	m.t.Helper()
	shelf, err := m.cart.Shelf(m.t.Context(), "demo")
	m.must(err)
	var ids []string
	for i, e := range shelf {
		m.expect("position", e.Position, int32(i+1))
		ids = append(ids, e.ProductId)
	}
	return strings.Join(ids, " ")
}

func (m *market) simpleProduct(id string) {
	m.t.Helper()
	m.put(&proto.Product{Id: id, ShopId: "shop", Title: id, OnSale: true, Listings: []*proto.Listing{{Id: "l-" + id, SkuId: "k-" + id, Price: 100}}}, map[string]int64{"k-" + id: 5})
}

func TestShelfOrder(t *testing.T) {
	m := newMarket(t)
	for _, id := range []string{"a", "b", "c"} {
		m.simpleProduct(id)
	}
	for _, step := range []struct {
		product  string
		position int
		want     string
		told     bool
	}{
		{"a", 0, "tea pot a", true},
		{"b", 1, "b tea pot a", true},
		{"c", 3, "b tea c pot a", true},
		{"b", 5, "tea c pot a b", true},
		{"b", 500, "tea c pot a b", false},
		{"b", 5, "tea c pot a b", false},
		{"pot", 1, "pot tea c a b", true},
		{"tea", 3, "pot c tea a b", true},
	} {
		head := m.head()
		m.must(m.cart.PutOnShelf(t.Context(), "demo", step.product, step.position))
		m.expect("shelf", m.shelf(), step.want)
		m.expect("told", m.head()-head, map[bool]int64{true: 1, false: 0}[step.told])
	}
	head := m.head()
	m.must(m.cart.RemoveFromShelf(t.Context(), "demo", "c"))
	m.must(m.cart.RemoveFromShelf(t.Context(), "demo", "c"))
	m.expect("shelf", m.shelf(), "pot tea a b")
	events := m.events(head)
	m.expect("events", len(events), 1)
	m.expect("off the shelf", events[0].GetProductUpdated().Position, int32(0))

	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "a", -1), ErrInvalid)
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "nope", 1), ErrProductNotFound)
	m.refused(m.cart.PutOnShelf(t.Context(), "nowhere", "a", 1), ErrRoomNotFound)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "other", Name: "Other", Currency: "USD"}))
	m.put(&proto.Product{Id: "bag", ShopId: "other", Title: "Bag", OnSale: true, Listings: []*proto.Listing{{Id: "bag", SkuId: "k-bag", Price: 1}}}, map[string]int64{"k-bag": 9})
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "bag", 1), ErrForbidden)
}

func TestShelfIsBounded(t *testing.T) {
	m := newMarket(t)
	m.simpleProduct("last")
	m.exec(`INSERT INTO product (id, shop_id, title) SELECT 'p' || n, 'shop', 'P' FROM generate_series(1, $1::int) n`, MaxShelf-2)
	m.exec(`INSERT INTO shelf SELECT 'demo', id, 10 + substr(id, 2)::int FROM product WHERE id ~ '^p[0-9]'`)
	m.refused(m.cart.PutOnShelf(t.Context(), "demo", "last", 1), ErrInvalid)
	m.must(m.cart.RemoveFromShelf(t.Context(), "demo", "p7"))
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "last", 1))
}

func TestSnapshot(t *testing.T) {
	m := newMarket(t)
	for i := range 20 {
		m.simpleProduct(fmt.Sprintf("p%02d", i))
		m.must(m.cart.PutOnShelf(t.Context(), "demo", fmt.Sprintf("p%02d", i), 0))
	}
	m.flashOrder("f", 2)
	_, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.must(err)
	read := func(room string) *proto.SessionWelcome {
		w := new(proto.SessionWelcome)
		m.must(store.InSnapshot(t.Context(), m.pool(), func(tx pgx.Tx) error { return m.cart.Snapshot(t.Context(), tx, room, w) }))
		return w
	}
	w := read("demo")
	m.expect("on show", w.OnShow.Product.Id, "tea")
	m.expect("by", w.OnShow.By.Name, "May")
	m.expect("shelf", len(w.Shelf), 20)
	m.expect("price from", w.Shelf[0].PriceFrom, int64(1000))
	m.expect("shelf total", w.ShelfTotal, int32(22))
	m.expect("sales", len(w.Sales), 1)
	m.expect("phase", w.Sales[0].Phase, proto.SalePhase_SALE_PHASE_OPEN)
	m.expect("available", w.Sales[0].Available, int64(4))
	m.exec(`UPDATE sale SET starts_at = now() + interval '1 minute'`)
	m.exec(`UPDATE pop_up SET until = clock_timestamp()`)
	w = read("demo")
	m.expect("announced", w.Sales[0].Phase, proto.SalePhase_SALE_PHASE_ANNOUNCED)
	m.expect("nothing on show", w.OnShow == nil, true)
	m.closeSale()
	m.expect("closed sales", len(read("demo").Sales), 0)
	m.expect("empty room", proto.Equal(read("nowhere"), new(proto.SessionWelcome)), true)
}

func TestPush(t *testing.T) {
	m := newMarket(t)
	head := m.head()
	p, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.must(err)
	m.expect("product", p.Id, "tea")
	_, err = m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.refused(err, ErrPushInProgress)
	_, err = m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "pot", DurationMs: 600_000})
	m.must(err)
	m.exec(`UPDATE pop_up SET until = clock_timestamp()`)
	_, err = m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "pot", DurationMs: 1000}) // its time was over
	m.must(err)
	events := m.events(head)
	m.expect("events", len(events), 3)
	for i, want := range []struct {
		id   string
		show int64
	}{{"tea", 30_000}, {"pot", 600_000}, {"pot", 1000}} {
		pushed := events[i].GetProductPushed()
		m.expect("pushed", pushed.Product.Id, want.id)
		m.expect("by", pushed.By.Id, "h1")
		if show := pushed.UntilMs - events[i].TimeMs; show > want.show || show < want.show-2000 {
			t.Errorf("%s is on show for %d ms, want %d", want.id, show, want.show)
		}
	}
}

func TestPushRefusals(t *testing.T) {
	m := newMarket(t)
	m.simpleProduct("back")
	off := &proto.Product{Id: "off", ShopId: "shop", Title: "Off", Listings: []*proto.Listing{{Id: "off", SkuId: "k-off", Price: 1}}}
	m.put(off, map[string]int64{"k-off": 9})
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "off", 0))
	m.exec(`INSERT INTO room (id, title, host_id, host_name, shop_id) VALUES ('later', 'Later', 'h1', 'May', 'shop')`)
	head := m.head()
	for _, row := range []struct {
		name, room, product string
		ms                  int64
		want                error
	}{
		{"no room", "nowhere", "tea", 0, ErrRoomNotFound},
		{"room that has not begun", "later", "tea", 0, ErrRoomNotLive},
		{"not on the shelf", "demo", "back", 0, ErrProductNotInRoom},
		{"no such product", "demo", "nope", 0, ErrProductNotInRoom},
		{"product id with NUL", "demo", "tea\x00", 0, ErrProductNotInRoom},
		{"off sale", "demo", "off", 0, ErrProductOffSale},
		{"too short", "demo", "tea", 999, ErrInvalid},
		{"negative", "demo", "tea", -1, ErrInvalid},
		{"too long", "demo", "tea", 600_001, ErrInvalid},
		{"for ever", "demo", "tea", math.MaxInt64, ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.Push(t.Context(), row.room, host, &proto.ProductPush{ProductId: row.product, DurationMs: row.ms})
			m.refused(err, row.want)
		})
	}
	m.expect("events", m.head(), head)
}

func TestClearPopUps(t *testing.T) {
	m := newMarket(t)
	_, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: "tea"})
	m.must(err)
	head := m.head()
	m.must(clearPopUps(t.Context(), m.cfg))
	m.expect("still on show", m.head(), head)
	m.exec(`UPDATE pop_up SET until = clock_timestamp()`)
	m.must(clearPopUps(t.Context(), m.cfg))
	m.must(clearPopUps(t.Context(), m.cfg))
	events := m.events(head)
	m.expect("events", len(events), 1)
	m.expect("nothing on show", proto.Equal(events[0].GetProductPushed(), &proto.ProductPushed{}), true)
}

func TestOffTheShelfIsOffShow(t *testing.T) {
	m := newMarket(t)
	none := int32(0)
	for _, row := range []struct {
		name, product string
		remove        func() error
	}{
		{"removed", "tea", func() error { return m.cart.RemoveFromShelf(t.Context(), "demo", "tea") }},
		{"updated to no position", "pot", func() error {
			_, err := m.cart.UpdateProduct(t.Context(), "demo", host, &proto.ProductUpdate{ProductId: "pot", ExpectedVersion: 1, Position: &none})
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.cart.Push(t.Context(), "demo", host, &proto.ProductPush{ProductId: row.product})
			m.must(err)
			head := m.head()
			m.must(row.remove())
			events := m.events(head)
			m.expect("events", len(events), 2)
			m.expect("off the shelf", events[0].GetProductUpdated().GetPosition(), int32(0))
			m.expect("off show", proto.Equal(events[1].GetProductPushed(), &proto.ProductPushed{}), true)
		})
	}
}
