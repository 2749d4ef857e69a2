package cart

import (
	"sync"
	"testing"
	"time"
)

func TestFees(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "feeshop", Name: "May & Co", Currency: "CNY"}))
	inForce, policies, err := m.cart.Fees(t.Context(), "feeshop")
	m.must(err)
	m.expect("fees without a policy", inForce, FeePolicy{SalePPM: 0, TipPPM: 500_000})
	m.expect("policies", len(policies), 0)

	now, err := m.cart.PutFees(t.Context(), "feeshop", time.Time{}, 50_000, 300_000, "op")
	m.must(err)
	m.expect("set for now", now.Since, now.SetAt)
	again, err := m.cart.PutFees(t.Context(), "feeshop", now.Since, 50_000, 300_000, "other")
	m.must(err)
	m.expect("the same again once in force", again, now)

	later := now.SetAt.Add(time.Hour)
	_, err = m.cart.PutFees(t.Context(), "feeshop", later, 10, 20, "op")
	m.must(err)
	planned, err := m.cart.PutFees(t.Context(), "feeshop", later, 11, 21, "op2")
	m.must(err)
	inForce, policies, err = m.cart.Fees(t.Context(), "feeshop")
	m.must(err)
	m.expect("in force", inForce, now)
	m.expect("policies", len(policies), 2)
	m.expect("what replaced what was planned", policies[0], planned)

	for name, bad := range map[string]struct {
		since     time.Time
		sale, tip int64
		by        string
	}{
		"back-dated":            {now.SetAt.Add(-time.Minute), 1, 1, "op"},
		"other than in force":   {now.Since, 1, 300_000, "op"},
		"other tip fee":         {now.Since, 50_000, 1, "op"},
		"negative sale fee":     {later, -1, 0, "op"},
		"sale fee above all":    {later, MaxFee + 1, 0, "op"},
		"negative tip fee":      {later, 0, -1, "op"},
		"tip fee above all":     {later, 0, MaxFee + 1, "op"},
		"far ahead":             {now.SetAt.Add(20 * 365 * 24 * time.Hour), 0, 0, "op"},
		"beyond what years are": {time.UnixMilli(1 << 62), 0, 0, "op"},
		"before what years are": {time.UnixMilli(-1 << 62), 0, 0, "op"},
		"nobody":                {later, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.cart.PutFees(t.Context(), "feeshop", bad.since, bad.sale, bad.tip, bad.by)
			m.refused(err, ErrInvalid)
		})
	}
	_, err = m.cart.PutFees(t.Context(), "nope", later, 0, 0, "op")
	m.refused(err, ErrShopNotFound)
	_, _, err = m.cart.Fees(t.Context(), "nope")
	m.refused(err, ErrShopNotFound)
	_, left, err := m.cart.Fees(t.Context(), "feeshop")
	m.must(err)
	m.expect("policies after the refusals", len(left), 2)

	for _, most := range []int64{0, MaxFee} {
		_, err = m.cart.PutFees(t.Context(), "feeshop", later.Add(time.Duration(most+1)), most, most, "op")
		m.must(err)
	}
}

// Two who set fees for now at once leave two policies, neither back-dated, which the table's own
// constraint would refuse.
// What is in force is told also where more is planned than is listed.
func TestFeesInForceBehindAllThatIsPlanned(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "feeshop", Name: "May & Co", Currency: "CNY"}))
	now, err := m.cart.PutFees(t.Context(), "feeshop", time.Time{}, 50_000, 300_000, "op")
	m.must(err)
	for i := range maxPolicies {
		_, err := m.cart.PutFees(t.Context(), "feeshop", now.SetAt.Add(time.Duration(i+1)*time.Hour), 1, 1, "op")
		m.must(err)
	}
	inForce, policies, err := m.cart.Fees(t.Context(), "feeshop")
	m.must(err)
	m.expect("in force", inForce, now)
	m.expect("policies", len(policies), maxPolicies)
}

func TestFeesAtOnce(t *testing.T) {
	m := newMarket(t)
	m.must(m.cart.PutShop(t.Context(), Shop{ID: "feeshop", Name: "May & Co", Currency: "CNY"}))
	var setters sync.WaitGroup
	for i := range int64(8) {
		setters.Go(func() {
			if _, err := m.cart.PutFees(t.Context(), "feeshop", time.Time{}, i, i, "op"); err != nil {
				t.Error(err)
			}
		})
	}
	setters.Wait()
	_, policies, err := m.cart.Fees(t.Context(), "feeshop")
	m.must(err)
	m.expect("policies", len(policies), 8)
}
