package cart

import (
	"testing"

	"livecart/proto"
)

// The room's host is refused whatever the own token says and whoever started the sale, also by the
// ledger alone, and nothing stays reserved.
func TestNobodyBuysInTheOwnSale(t *testing.T) {
	s := newStall(t, 5, 0)
	operator := &proto.User{Id: "op", Role: proto.Role_ROLE_OPERATOR}
	pots, err := s.cart.StartSale(t.Context(), "demo", operator, "pots", minute(&proto.FlashStart{ListingId: "pot", Price: 1, Quantity: 2}))
	s.must(err)
	s.ledger()
	for _, row := range []struct {
		name string
		user *proto.User
	}{
		{"the room's host as a viewer", &proto.User{Id: "h1", Role: proto.Role_ROLE_VIEWER}},
		{"who started the sale, as a viewer", &proto.User{Id: "op", Role: proto.Role_ROLE_VIEWER}},
		{"a co-host", &proto.User{Id: "co", Role: proto.Role_ROLE_HOST}},
		{"a moderator", &proto.User{Id: "mo", Role: proto.Role_ROLE_MODERATOR}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := s.cart.Buy(t.Context(), "demo", Buyer{User: row.user}, "k", &proto.FlashBuy{SaleId: pots.Id, Quantity: 1})
			s.refused(err, ErrOwnSale)
			l, err := newSaleLedger(s.cfg)
			s.must(err)
			asked := []*proto.FlashAttempt{{SaleId: pots.Id, RoomId: "demo", Buyer: row.user, Key: "direct", Hash: []byte("x"), Quantity: 1}}
			s.expect("the ledger's outcome", l.book(t.Context(), asked).decisions[0].Outcome, outcomeOwnSale)
		})
	}
	s.expect("recorded", scan[int](s.market, `SELECT count(*) FROM attempt`), 0)
	s.expect("sold", scan[int64](s.market, `SELECT sold FROM sale WHERE id = $1`, pots.Id), int64(0))
	pending, err := s.cfg.Redis.HLen(t.Context(), saleKeys(pots.Id)[1]).Result()
	s.must(err)
	s.expect("pending", pending, int64(0))
	_, err = s.cart.Buy(t.Context(), "demo", buyer("ann"), "k", &proto.FlashBuy{SaleId: pots.Id, Quantity: 2})
	s.must(err)
}

// What was ordered before a stop can be paid until its window ends; then it returns to the sku.
func TestStopIsFinalAndKeepsOrders(t *testing.T) {
	s := newStall(t, 5, 0)
	s.ledger()
	paying, err := s.buy(s.cart, "ann", "k", 2)
	s.must(err)
	leaving, err := s.buy(s.cart, "bob", "k", 1)
	s.must(err)
	stop := func(key string, version int64) error {
		_, err := s.cart.StopSale(t.Context(), "demo", host, key, &proto.FlashStop{SaleId: s.sale.Id, ExpectedVersion: version})
		return err
	}
	s.refused(stop("old", 0), ErrVersionConflict)
	s.refused(stop("new", 2), ErrVersionConflict)
	s.must(stop("stop", 1))
	more := int64(9)
	_, err = s.cart.UpdateSale(t.Context(), "demo", host, "u", &proto.FlashUpdate{SaleId: s.sale.Id, ExpectedVersion: 2, Quantity: &more})
	s.refused(err, ErrSaleEnded)
	s.expect("the orders' pieces stay moved", s.counts("k-tea-s"), [2]int64{0, 3})
	s.settle(paying)
	s.expect("paid after the stop", s.state(paying.Id), paid)
	s.overdue(leaving.Id)
	s.until("bob's window ends", func() bool { return s.state(leaving.Id) == expired })
	s.expect("the others are back", s.counts("k-tea-s"), [2]int64{0, 2})
}

// A refund that takes pieces back makes room under the buyer's limit, though no order moved.
func TestRestockedPiecesFreeTheLimit(t *testing.T) {
	s := newStall(t, 4, 2)
	s.ledger()
	o, err := s.buy(s.cart, "ann", "k", 2)
	s.must(err)
	s.settled()
	s.settle(o)
	_, err = s.buy(s.cart, "ann", "k2", 1)
	s.refused(err, ErrLimitPerBuyer)
	s.refund("kept", refundOf(o.Id, false, 1, 1))
	_, err = s.buy(s.cart, "ann", "k3", 1)
	s.refused(err, ErrLimitPerBuyer)
	s.refund("back", refundOf(o.Id, true, 1, 1))
	s.expect("the order moved on", s.state(o.Id), refundDue)

	p, err := s.buy(s.cart, "bob", "k", 2)
	s.must(err)
	s.settled()
	s.notice(success(s.payFor("bob", p.Id), "bob"))
	s.refund("half", refundOf(p.Id, true, 1, 1))
	s.expect("the order stays", s.state(p.Id), paid)
	_, err = s.buy(s.cart, "bob", "k2", 1)
	s.must(err)
}

func (m *market) payFor(userID, orderID string) *proto.Payment {
	m.t.Helper()
	p, err := m.cart.Pay(m.t.Context(), userID, "pay-"+orderID, orderID)
	m.must(err)
	return p
}
