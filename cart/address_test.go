package cart

import (
	"strings"
	"testing"

	"livecart/proto"
)

func TestSetAddress(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	set := func(user string, a *proto.Address) (*proto.Order, error) {
		return m.cart.SetAddress(t.Context(), user, &proto.OrderAddress{OrderId: o.Id, ShipTo: a})
	}
	got, err := set("ann", goodAddress())
	m.must(err)
	m.expect("version", got.Version, int64(2))
	m.expect("address", proto.Equal(got.ShipTo, goodAddress()), true)
	again, err := set("ann", goodAddress())
	m.must(err)
	m.expect("the same again", proto.Equal(again, got), true)
	_, err = set("bob", goodAddress())
	m.refused(err, ErrOrderNotFound)
	_, err = set("ann", nil)
	m.refused(err, ErrInvalid)

	m.notice(success(m.pay(o.Id), "e"))
	other := goodAddress()
	other.Street = "文三路 2 号"
	_, err = set("ann", other)
	m.must(err)
	m.ship("s", &proto.OrderShip{OrderId: o.Id, Carrier: "SF", Waybill: "SF1"})
	_, err = set("ann", goodAddress())
	m.refused(err, ErrOrderState)
}

func TestAddressLengths(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(a *proto.Address)
		ok     bool
	}{
		{"as it is", func(*proto.Address) {}, true},
		{"name of 80", func(a *proto.Address) { a.Name = strings.Repeat("李", 80) }, true},
		{"name of 81", func(a *proto.Address) { a.Name = strings.Repeat("李", 81) }, false},
		{"no name", func(a *proto.Address) { a.Name = "" }, false},
		{"phone of 2", func(a *proto.Address) { a.Phone = "12" }, false},
		{"phone of 33", func(a *proto.Address) { a.Phone = strings.Repeat("1", 33) }, false},
		{"street of 200", func(a *proto.Address) { a.Street = strings.Repeat("x", 200) }, true},
		{"street of 201", func(a *proto.Address) { a.Street = strings.Repeat("x", 201) }, false},
		{"postal code of 17", func(a *proto.Address) { a.PostalCode = strings.Repeat("1", 17) }, false},
		{"no region or postal code", func(a *proto.Address) { a.Region, a.PostalCode = "", "" }, true},
		{"country in words", func(a *proto.Address) { a.Country = "China" }, false},
		{"country in small letters", func(a *proto.Address) { a.Country = "cn" }, false},
		{"a NUL", func(a *proto.Address) { a.City = "a\x00" }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := goodAddress()
			row.change(a)
			if err := checkAddress(a); (err == nil) != row.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMaskAddress(t *testing.T) {
	a := goodAddress()
	masked := MaskAddress(a)
	want := &proto.Address{Name: "李***", Phone: "******00", Country: "CN", Region: "浙江", City: "杭州", Street: "***", PostalCode: "***"}
	if !proto.Equal(masked, want) {
		t.Errorf("got %v", masked)
	}
	if !proto.Equal(a, goodAddress()) {
		t.Error("the address itself was changed")
	}
	if MaskAddress(nil) != nil || !proto.Equal(MaskAddress(&proto.Address{}), &proto.Address{}) {
		t.Error("an absent address became another")
	}
	if short := MaskAddress(&proto.Address{Phone: "110"}); short.Phone != "******" {
		t.Errorf("a short number shows as %s", short.Phone)
	}
}
