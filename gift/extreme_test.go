package gift

import (
	"math/big"
	"testing"
	"time"

	"livecart/proto"
)

// The dearest gift in the largest number: beans and shares are exact, and one bean less in the wallet
// is too few.
func TestTheLargestTipIsExact(t *testing.T) {
	const most = 999_000_000 // MaxPrice × MaxCount
	for _, share := range []int64{0, 1, 333_333, 999_999, MaxShare} {
		for _, balance := range []int64{most, most - 1, MaxGrant} {
			b := &books{
				attempts: map[attemptKey]attempt{}, tipIDs: map[attemptKey]string{}, combos: map[comboKey]int64{},
				wallets: map[string]account{"ann": {balance, 1}},
				gifts:   map[string]price{"ship": {beans: MaxPrice, tier: MaxTier}},
				rooms:   map[string]stage{live: {"live", "hana", share}},
				confirm: 1, now: time.UnixMilli(1),
			}
			req := request(t, "ann", "k", live, "ship", MaxCount, "c")
			req.ConfirmedBeans = most
			got := decide(b, []*proto.TipRequest{req})[0]
			if balance < most {
				if got.outcome != insufficient || b.wallets["ann"].balance != balance {
					t.Errorf("%d beans: %v, %d left", balance, got.outcome, b.wallets["ann"].balance)
				}
				continue
			}
			if got.outcome != booked {
				t.Fatalf("%d beans: %v", balance, got.outcome)
			}
			host := new(big.Int).Mul(big.NewInt(most), big.NewInt(share))
			host.Quo(host, big.NewInt(MaxShare))
			if tip := got.tip; tip.Beans != most || tip.HostBeans != host.Int64() || tip.HostBeans+tip.FeeBeans != most || tip.Balance != balance-most {
				t.Errorf("share %d: %+v", share, tip)
			}
		}
	}
}
