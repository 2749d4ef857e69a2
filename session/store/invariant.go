package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Invariant is something that always holds, as a query that must return no row.
type Invariant struct {
	Name string `json:"name"`
	// Doc says in a sentence what holds.
	Doc string `json:"doc"`
	// SQL returns one row a violation.
	SQL string `json:"-"`
}

// Violation is one row that an invariant's query returned.
type Violation struct {
	Invariant string         `json:"invariant"`
	Row       map[string]any `json:"row"`
}

// maxViolations is how many rows of one invariant Check reports.
const maxViolations = 20

// Check runs every invariant in one snapshot and returns what is violated, at most 20 rows each.
func Check(ctx context.Context, tx pgx.Tx, invariants []Invariant) ([]Violation, error) {
	var found []Violation
	for _, inv := range invariants {
		rows, err := tx.Query(ctx, inv.SQL)
		if err != nil {
			return nil, fmt.Errorf("invariant %s: %w", inv.Name, err)
		}
		bad, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			return nil, fmt.Errorf("invariant %s: %w", inv.Name, err)
		}
		for _, row := range bad[:min(len(bad), maxViolations)] {
			found = append(found, Violation{Invariant: inv.Name, Row: row})
		}
	}
	return found, nil
}

// Invariants are those of numbered room events.
var Invariants = []Invariant{{
	Name: "room_event_gapless",
	Doc:  "A room's kept numbered events have no gap and end at the room's own number.",
	SQL: `SELECT r.id AS room_id, r.seq AS head, max(e.seq) AS newest, max(e.seq) - min(e.seq) + 1 - count(*) AS missing
		FROM room r JOIN room_event e ON e.room_id = r.id
		GROUP BY r.id, r.seq
		HAVING max(e.seq) <> r.seq OR max(e.seq) - min(e.seq) + 1 <> count(*)`,
}}
