package loadtest

import (
	"context"
	"fmt"

	"livecart/proto"
)

// checkTips holds that each acknowledged tip has an id of its own and that no watcher was told of
// one twice or of none.
func (r *smokeRun) checkTips() Check {
	var bad []string
	ids := map[string]string{}
	for _, t := range r.tips {
		if len(t.tipIDs) != 1 {
			bad = append(bad, fmt.Sprintf("gift %s is tips %v", t.key, t.tipIDs))
		}
		for _, id := range t.tipIDs {
			if other := ids[id]; other != "" {
				bad = append(bad, fmt.Sprintf("tip %s answers gifts %s and %s", id, other, t.key))
			}
			ids[id] = t.key
		}
	}
	staying := r.staying()
	if len(ids) == 0 || len(staying) == 0 {
		bad = append(bad, fmt.Sprintf("nothing to compare: %d tips, %d viewers who stayed", len(ids), len(staying)))
	}
	for _, p := range staying {
		p.history.mu.Lock()
		for id := range ids {
			if n := p.history.tips[id]; n != 1 {
				bad = append(bad, fmt.Sprintf("%s was told of tip %s %d times", p.id, id, n))
			}
		}
		for id := range p.history.tips {
			if ids[id] == "" {
				bad = append(bad, fmt.Sprintf("%s was told of tip %s that nobody of the crowd sent", p.id, id))
			}
		}
		p.history.mu.Unlock()
	}
	return verdict("tips_told_once", bad, "%d tips × %d viewers", len(ids), len(staying))
}

// checkBalances holds that what a gifter has left is what came in less what was sent.
func (r *smokeRun) checkBalances(ctx context.Context) Check {
	return verdict("balances_add_up", r.wrongBalances(ctx), "%d wallets", len(r.gifters))
}

// askBalances has each gifter ask for what is left.
func (r *smokeRun) askBalances(ctx context.Context) (bad []string) {
	spent := map[*person]int64{}
	for _, t := range r.tips {
		spent[t.sender] += t.beans
	}
	for _, p := range r.gifters {
		reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_WalletGet{WalletGet: &proto.WalletGet{}}})
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		if got, want := reply.GetOk().GetWalletBalance().GetBalance(), p.funds-spent[p]; got != want {
			bad = append(bad, fmt.Sprintf("%s has %d beans, %d came in and %d were sent", p.id, got, p.funds, spent[p]))
		}
		if !until(ctx, r.pace.news, func() bool { return p.history.beans() == p.funds-spent[p] }) {
			bad = append(bad, fmt.Sprintf("%s was last told of %d beans, not %d", p.id, p.history.beans(), p.funds-spent[p]))
		}
	}
	return bad
}
