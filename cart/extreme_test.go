package cart

import (
	"fmt"
	"testing"

	"livecart/proto"
)

// The largest order that there can be: as many lines as an order has, of as many pieces, each at the
// highest price; and one piece more, or a price above, is refused.
func TestTheLargestOrderIsExact(t *testing.T) {
	m := newMarket(t)
	p := &proto.Product{Id: "dear", ShopId: "shop", Title: "Dear", OnSale: true}
	stock, cmd := map[string]int64{}, new(proto.OrderCreate)
	for i := range MaxLines {
		listing := &proto.Listing{Id: fmt.Sprint("dear-", i), SkuId: fmt.Sprint("k-dear-", i), Name: fmt.Sprint(i), Price: MaxPrice}
		p.Listings = append(p.Listings, listing)
		stock[listing.SkuId] = MaxStock
		cmd.Items = append(cmd.Items, &proto.OrderItem{ListingId: listing.Id, Quantity: MaxQuantity})
	}
	m.put(p, stock)
	m.must(m.cart.PutOnShelf(t.Context(), "demo", "dear", 1))

	over := proto.Clone(cmd)
	over.Items[MaxLines-1].Quantity++
	_, err := m.create(t.Context(), "demo", buyer("ann"), "over", over)
	m.refused(err, ErrInvalidQuantity)
	over = proto.Clone(cmd)
	over.Items = append(over.Items, over.Items[0])
	if _, err := m.create(t.Context(), "demo", buyer("ann"), "over", over); err == nil {
		t.Error("an order has a line too many")
	}
	above := proto.Clone(p)
	above.Listings[0].Price++
	if _, err := m.cart.PutProduct(t.Context(), above, nil); err == nil {
		t.Error("a price is above the highest")
	}

	o, err := m.create(t.Context(), "demo", buyer("ann"), "most", cmd)
	m.must(err)
	m.expect("amount", o.Amount, int64(1_980_000_000_000_000)) // 20 × 99 × 10¹²
	stored := m.read(o.Id)
	m.expect("stored amount", stored.Amount, o.Amount)
	var sum int64
	for _, line := range stored.Lines {
		sum += int64(line.Quantity) * line.UnitPrice
	}
	m.expect("sum of the lines", sum, o.Amount)
}
