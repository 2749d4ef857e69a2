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
	"livecart/loadtest"
	"livecart/session/store"
)

// auditCommand checks the invariants of everything that is recorded, in one snapshot, while the
// service may go on.
type auditCommand struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" help:"Postgres." placeholder:"URL"`
	JSON        bool   `help:"Print JSON."`

	History   []string `name:"history" help:"Also check what clients asked and were told: history files, as loadtest writes them." placeholder:"FILE" sep:"none"`
	RedisLost bool     `name:"redis-lost" help:"With --history: allow what a loss of Redis explains, a sold_out or limit_per_buyer that was forgotten with it."`
}

// auditReport is what audit --json prints.
type auditReport struct {
	OK         bool              `json:"ok"`
	Checked    []store.Invariant `json:"checked"`
	Violations []store.Violation `json:"violations"`
	// Records is how many records of clients were compared.
	Records int `json:"records,omitempty"`
}

// Run prints every invariant with its result and fails when one is violated.
func (c *auditCommand) Run(ctx context.Context) error {
	if c.DatabaseURL == "" {
		return errors.New("audit: DATABASE_URL is not set")
	}
	records, err := c.readHistory()
	if err != nil {
		return err
	}
	report, err := audit(ctx, c.DatabaseURL, records...)
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

// history is what clients asked and were told, and how it is checked.
type history struct {
	records []loadtest.Record
	options loadtest.RecordOptions
}

// readHistory reads the files that --history names, nil for none.
func (c *auditCommand) readHistory() ([]history, error) {
	if len(c.History) == 0 {
		if c.RedisLost {
			return nil, errors.New("audit: --redis-lost goes with --history")
		}
		return nil, nil
	}
	h := history{options: loadtest.RecordOptions{RedisLost: c.RedisLost}}
	for _, path := range c.History {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		records, err := loadtest.ReadRecords(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("audit: %s: %w", path, err)
		}
		if len(records) == 0 {
			return nil, fmt.Errorf("audit: %s has no record", path)
		}
		h.records = append(h.records, records...)
	}
	return []history{h}, nil
}

// audit runs every package's invariants and, with a history, the checks of it.
func audit(ctx context.Context, databaseURL string, histories ...history) (*auditReport, error) {
	pool, err := store.OpenPostgres(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	invariants := slices.Concat(store.Invariants, cart.Invariants, gift.Invariants)
	report := &auditReport{Checked: invariants, Violations: []store.Violation{}}
	err = store.InSnapshot(ctx, pool, func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, invariants)
		if err != nil {
			return err
		}
		report.Violations = append(report.Violations, found...)
		for _, h := range histories {
			if err := report.checkHistory(ctx, tx, h); err != nil {
				return err
			}
		}
		return nil
	})
	report.OK = len(report.Violations) == 0
	return report, err
}

func (r *auditReport) checkHistory(ctx context.Context, tx pgx.Tx, h history) error {
	found, err := loadtest.CheckRecords(ctx, tx, h.records, h.options)
	if err != nil {
		return err
	}
	for _, c := range loadtest.RecordChecks {
		r.Checked = append(r.Checked, store.Invariant{Name: c.Name, Doc: c.Doc})
	}
	for _, v := range found {
		r.Violations = append(r.Violations, store.Violation{Invariant: v.Check, Row: v.Row})
	}
	r.Records += len(h.records)
	return nil
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
		if r.Records > 0 {
			fmt.Printf("%d records of clients were compared\n", r.Records)
		}
	}
}
