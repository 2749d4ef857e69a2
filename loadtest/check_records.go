package loadtest

import "fmt"

// checkOrderRows holds that the sale's orders in Postgres are the confirmed ones, each once, with
// no more pieces than the sale had and as many as the sale's row counts as sold.
func (r *smokeRun) checkOrderRows(name string, rows []orderRow, sold int64) Check {
	type key struct{ buyer, request string }
	recorded := map[key][]string{}
	var pieces int64
	for _, row := range rows {
		k := key{row.buyer, row.request}
		recorded[k] = append(recorded[k], row.id)
		pieces += row.pieces
	}
	var bad []string
	for _, a := range r.attempts {
		k := key{a.buyer.id, a.key}
		switch got := recorded[k]; {
		case a.orderID == "" && len(got) > 0:
			bad = append(bad, fmt.Sprintf("an attempt refused with %s is order %s", a.reason, got[0]))
		case a.orderID != "" && (len(got) != 1 || got[0] != a.orderID):
			bad = append(bad, fmt.Sprintf("order %s is recorded as %v", a.orderID, got))
		}
		delete(recorded, k)
	}
	for k, ids := range recorded {
		bad = append(bad, fmt.Sprintf("order %s of %s answers no attempt", ids[0], k.buyer))
	}
	if pieces > int64(r.Pieces) {
		bad = append(bad, fmt.Sprintf("oversold: %d pieces are ordered, %d were for sale", pieces, r.Pieces))
	}
	if sold != pieces {
		bad = append(bad, fmt.Sprintf("the sale counts %d sold, its orders %d", sold, pieces))
	}
	return verdict(name, bad, "%d orders, %d pieces", len(rows), pieces)
}

// senders returns everybody who may have sent a gift.
func (r *smokeRun) senders() (ids []string) {
	for _, p := range r.gifters {
		ids = append(ids, p.id)
	}
	return ids
}

// checkTipRows holds that each acknowledged gift is one tip in Postgres and that there is no other.
func (r *smokeRun) checkTipRows(name string, rows []tipRow) Check {
	acknowledged := map[string]tipRecord{}
	for _, t := range r.tips {
		for _, id := range t.tipIDs {
			acknowledged[id] = t
		}
	}
	var bad []string
	for _, row := range rows {
		t, ok := acknowledged[row.id]
		switch {
		case !ok:
			bad = append(bad, fmt.Sprintf("tip %s of %s was acknowledged to nobody", row.id, row.sender))
		case t.beans != row.beans || t.sender.id != row.sender:
			bad = append(bad, fmt.Sprintf("tip %s is %d beans of %s, acknowledged were %d of %s", row.id, row.beans, row.sender, t.beans, t.sender.id))
		}
		delete(acknowledged, row.id)
	}
	for id := range acknowledged {
		bad = append(bad, fmt.Sprintf("tip %s was acknowledged and is not recorded", id))
	}
	return verdict(name, bad, "%d tips", len(rows))
}
