package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/session/store"
)

// plan is a node of what EXPLAIN answers.
type plan struct {
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Cond     string `json:"Index Cond"`
	Plans    []plan `json:"Plans"`
}

// unled returns the tables under the node that are read without an index that leads to their rows.
func (p *plan) unled(grow []string) (tables []string) {
	led := p.Cond != "" || p.Index == "refund_due" // which has no more than what is due at the moment
	for i := range p.Plans {
		led = led || p.Plans[i].Index != "" && p.Plans[i].Cond != "" // of a bitmap
		tables = append(tables, p.Plans[i].unled(grow)...)
	}
	if slices.Contains(grow, p.Relation) && !led {
		tables = append(tables, p.Relation)
	}
	return tables
}

// No figure of a statement reads rows of other rooms' orders and tips: to each table that grows with
// them, an index leads.
func TestStatementReadsNoOtherRoom(t *testing.T) {
	b := newBooks(t)
	b.evening()
	grow := []string{
		"orders", "order_line", "order_event", "order_reprice", "payment", "payment_notice", "refund", "refund_line",
		"tip", "tip_attempt", "tip_reversal", "bean_lot", "lot_refund",
	}
	err := store.InSnapshot(b.Context(), b.parts.pool, func(tx pgx.Tx) error {
		// Small tables are cheapest to read whole, which says nothing of large ones.
		if _, err := tx.Exec(b.Context(), `SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off`); err != nil {
			return err
		}
		for _, f := range slices.Concat(cart.StatementFigures, gift.StatementFigures) {
			var raw []byte
			if err := tx.QueryRow(b.Context(), "EXPLAIN (FORMAT JSON) "+f.SQL, append([]any{"room"}, f.Args...)...).Scan(&raw); err != nil {
				return err
			}
			var plans []struct{ Plan plan }
			if err := json.Unmarshal(raw, &plans); err != nil {
				return err
			}
			if tables := plans[0].Plan.unled(grow); len(tables) > 0 {
				t.Errorf("%s reads all of %v: %s", f.Name, tables, raw)
			}
		}
		return nil
	})
	b.must(err)
}
