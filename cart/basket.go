package cart

import (
	_ "embed"

	"livecart/proto"
)

//go:embed sql/read_offers.sql
var readOffersSQL string

// offer is a listing as it stands under the locks.
type offer struct {
	listingID, skuID, shopID, currency, title, imageURL string
	price, available                                    int64
	onSale, shelved                                     bool
}

// parcel is what an order of one shop would be.
type parcel struct {
	shopID, currency string
	lines            []offer
	quantities       []int32
	amount           int64
}

// basket is what one order_create asks for: a parcel of each shop, from the first line's.
type basket struct {
	parcels []*parcel
	taken   map[string]int64 // by sku, of all parcels: a pool may feed several shops
	soldOut bool
}

// fillBasket decides orders on the offers of their listings; the refusals that are not recorded are
// its errors.
func fillBasket(items []*proto.OrderItem, offers map[string]offer) (basket, error) {
	b := basket{taken: map[string]int64{}}
	byShop := map[string]*parcel{}
	for _, item := range items {
		f, ok := offers[item.ListingId]
		switch {
		case !ok:
			return b, ErrListingNotFound
		case !f.shelved:
			return b, ErrProductNotInRoom
		case !f.onSale:
			return b, ErrProductOffSale
		}
		p := byShop[f.shopID]
		if p == nil {
			p = &parcel{shopID: f.shopID, currency: f.currency}
			byShop[f.shopID] = p
			b.parcels = append(b.parcels, p)
		}
		p.lines = append(p.lines, f)
		p.quantities = append(p.quantities, item.Quantity)
		p.amount += f.price * int64(item.Quantity)
		b.taken[f.skuID] += int64(item.Quantity)
		b.soldOut = b.soldOut || b.taken[f.skuID] > f.available
	}
	return b, nil
}
