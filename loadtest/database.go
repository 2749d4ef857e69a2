package loadtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checkDatabase compares the histories with Postgres, where it may be read.
func (r *smokeRun) checkDatabase(ctx context.Context) []Check {
	names := []string{"orders_recorded_once", "tips_recorded_once", "audit"}
	skip := func(why string) (out []Check) {
		for _, name := range names {
			out = append(out, Check{Name: name, Skipped: why})
		}
		return out
	}
	if r.Target.DatabaseURL == "" {
		return skip("no database is given")
	}
	conn, err := pgx.Connect(ctx, r.Target.DatabaseURL)
	if err != nil {
		return []Check{{Name: "database", Detail: err.Error()}}
	}
	defer conn.Close(ctx)
	checks := []Check{r.checkOrderRows(ctx, conn), r.checkTipRows(ctx, conn)}
	if r.Audit == nil {
		return append(checks, Check{Name: "audit", Skipped: "not asked for"})
	}
	violated, err := r.Audit(ctx)
	if err != nil {
		violated = append(violated, err.Error())
	}
	return append(checks, verdict("audit", violated, "every invariant holds"))
}

// checkOrderRows holds that the sale's orders in Postgres are the confirmed ones, each once, with
// as many pieces as the sale had and as the sale's row says.
func (r *smokeRun) checkOrderRows(ctx context.Context, conn *pgx.Conn) Check {
	const name = "orders_recorded_once"
	rows, err := conn.Query(ctx, `
		SELECT o.id, o.buyer_id, o.request_id, (SELECT sum(quantity) FROM order_line l WHERE l.order_id = o.id)
		FROM orders o WHERE o.sale_id = $1`, r.sale.Id)
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
	}
	type key struct{ buyer, request string }
	recorded := map[key][]string{}
	var pieces, n int64
	var id, buyer, request string
	var quantity int64
	_, err = pgx.ForEachRow(rows, []any{&id, &buyer, &request, &quantity}, func() error {
		recorded[key{buyer, request}] = append(recorded[key{buyer, request}], id)
		pieces += quantity
		n++
		return nil
	})
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
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
	var sold int64
	if err := conn.QueryRow(ctx, `SELECT sold FROM sale WHERE id = $1`, r.sale.Id).Scan(&sold); err != nil || sold != pieces {
		bad = append(bad, fmt.Sprintf("the sale counts %d sold, its orders %d (%v)", sold, pieces, err))
	}
	return verdict(name, bad, "%d orders, %d pieces", n, pieces)
}

// checkTipRows holds that each acknowledged gift is one tip in Postgres and that there is no other.
func (r *smokeRun) checkTipRows(ctx context.Context, conn *pgx.Conn) Check {
	const name = "tips_recorded_once"
	senders := map[string]bool{}
	acknowledged := map[string]tipRecord{}
	for _, t := range r.tips {
		senders[t.sender.id] = true
		for _, id := range t.tipIDs {
			acknowledged[id] = t
		}
	}
	ids := make([]string, 0, len(senders))
	for id := range senders {
		ids = append(ids, id)
	}
	rows, err := conn.Query(ctx, `SELECT id, sender_id, beans FROM tip WHERE sender_id = ANY($1)`, ids)
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
	}
	var bad []string
	var id, sender string
	var beans int64
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &sender, &beans}, func() error {
		n++
		t, ok := acknowledged[id]
		switch {
		case !ok:
			bad = append(bad, fmt.Sprintf("tip %s of %s was acknowledged to nobody", id, sender))
		case t.beans != beans || t.sender.id != sender:
			bad = append(bad, fmt.Sprintf("tip %s is %d beans of %s, acknowledged were %d of %s", id, beans, sender, t.beans, t.sender.id))
		}
		delete(acknowledged, id)
		return nil
	})
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
	}
	for id := range acknowledged {
		bad = append(bad, fmt.Sprintf("tip %s was acknowledged and is not recorded", id))
	}
	return verdict(name, bad, "%d tips", n)
}
