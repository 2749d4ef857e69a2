package cart

import (
	"context"
	_ "embed"
	"slices"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed settle.lua
var settleLua string

var settleScript = store.NewScript(settleLua)

// maxSettle is how many attempts one script call settles: more only hold up Redis.
const maxSettle = 256

// settleAttempts ends the reservations of decided attempts. Where Redis does not answer they stay pending
// until the next Resync.
func settleAttempts(ctx context.Context, cfg Config, asked []*proto.FlashAttempt, decisions []*proto.FlashDecision) {
	bySale := map[string][]any{}
	for i, a := range asked {
		if _, final := outcomeWords[decisions[i].Outcome]; final {
			field, content := hashed(a)
			buyerID := ""
			if decisions[i].Outcome == outcomeOrdered {
				buyerID = a.Buyer.GetId()
			}
			bySale[a.SaleId] = append(bySale[a.SaleId], field, content, buyerID)
		}
	}
	for saleID, attempts := range bySale {
		for some := range slices.Chunk(attempts, 3*maxSettle) {
			timeout, cancel := context.WithTimeout(ctx, store.RedisTimeout)
			args := append([]any{int(markAge.Seconds())}, some...)
			err := settleScript.Run(timeout, cfg.Redis, saleKeys(saleID), args...).Err()
			cancel()
			if err != nil {
				cfg.Log.Warn("reservations stay pending until the next resync", "sale", saleID, "err", err)
			}
		}
	}
}
