package cart

import (
	"context"
	_ "embed"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed settle.lua
var settleLua string

var settleScript = store.NewScript(settleLua)

// settleAttempts ends the reservations of decided attempts. Where Redis does not answer they stay pending
// until the next Resync.
func settleAttempts(ctx context.Context, cfg Config, asked []*proto.FlashAttempt, decisions []*proto.FlashDecision) {
	bySale := map[string]*store.Call{}
	for i, a := range asked {
		if _, final := outcomeWords[decisions[i].Outcome]; !final {
			continue
		}
		call := bySale[a.SaleId]
		if call == nil {
			call = &store.Call{Keys: saleKeys(a.SaleId), Args: []any{int(markAge.Seconds())}}
			bySale[a.SaleId] = call
		}
		user, key, content := hashed(a)
		ordered := "0"
		if decisions[i].Outcome == outcomeOrdered {
			ordered = "1"
		}
		call.Keys = append(call.Keys, markKey(a.SaleId, user, key))
		call.Args = append(call.Args, user, key, content, ordered)
	}
	for saleID, call := range bySale {
		timeout, cancel := context.WithTimeout(ctx, store.RedisTimeout)
		err := settleScript.Run(timeout, cfg.Redis, call.Keys, call.Args...).Err()
		cancel()
		if err != nil {
			cfg.Log.Warn("reservations stay pending until the next resync", "sale", saleID, "err", err)
		}
	}
}
