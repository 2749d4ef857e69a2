package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/session/store"
)

// auditCommand checks the invariants of everything that is recorded, in one snapshot, while the
// service may go on.
type auditCommand struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" help:"Postgres." placeholder:"URL"`
	JSON        bool   `help:"Print JSON."`
}

// auditReport is what audit --json prints.
type auditReport struct {
	OK         bool              `json:"ok"`
	Checked    []store.Invariant `json:"checked"`
	Violations []store.Violation `json:"violations"`
}

// Run prints every invariant with its result and fails when one is violated.
func (c *auditCommand) Run(ctx context.Context) error {
	if c.DatabaseURL == "" {
		return errors.New("audit: DATABASE_URL is not set")
	}
	report, err := audit(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		report.print()
	}
	if !report.OK {
		return errViolated
	}
	return nil
}

// audit runs every package's invariants.
func audit(ctx context.Context, databaseURL string) (*auditReport, error) {
	pool, err := store.OpenPostgres(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	report := &auditReport{Checked: slices.Concat(store.Invariants, cart.Invariants, gift.Invariants), Violations: []store.Violation{}}
	err = store.InSnapshot(ctx, pool, func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, report.Checked)
		report.Violations = append(report.Violations, found...)
		return err
	})
	report.OK = len(report.Violations) == 0
	return report, err
}

func (r *auditReport) print() {
	for _, inv := range r.Checked {
		i := slices.IndexFunc(r.Violations, func(v store.Violation) bool { return v.Invariant == inv.Name })
		if i < 0 {
			fmt.Println("holds   ", inv.Name)
			continue
		}
		fmt.Printf("VIOLATED %s: %s\n", inv.Name, inv.Doc)
		for _, v := range r.Violations[i:] {
			if v.Invariant == inv.Name {
				fmt.Println("        ", v.Row)
			}
		}
	}
	if r.OK {
		fmt.Printf("all %d invariants hold\n", len(r.Checked))
	}
}
