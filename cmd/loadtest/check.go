package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"livecart/loadtest"
	"livecart/session/store"
)

// errViolated says that a history and the database contradict each other, after it was told in what.
var errViolated = errors.New("the history and the database contradict each other")

// checkCommand checks a saved history again.
type checkCommand struct {
	History     []string `arg:"" help:"What run --history wrote; files of one evening are checked together." placeholder:"FILE"`
	DatabaseURL string   `name:"database-url" help:"Postgres, which is only read." env:"DATABASE_URL" placeholder:"URL" required:""`
	RedisLost   bool     `name:"redis-lost" help:"Allow what a loss of Redis explains, a sold_out or limit_per_buyer that was forgotten with it."`
}

// Run compares the history with the database, prints each check with its result, and fails when one
// does not hold.
func (c checkCommand) Run(ctx context.Context, out output) error {
	var records []loadtest.Record
	for _, path := range c.History {
		some, err := readHistory(path)
		if err != nil {
			return err
		}
		records = append(records, some...)
	}
	pool, err := store.OpenPostgres(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	var found []loadtest.RecordViolation
	err = store.InSnapshot(ctx, pool, func(tx pgx.Tx) error {
		found, err = loadtest.CheckRecords(ctx, tx, records, loadtest.RecordOptions{RedisLost: c.RedisLost})
		return err
	})
	if err != nil {
		return err
	}
	return tellViolations(out, len(records), found)
}

func tellViolations(out output, records int, found []loadtest.RecordViolation) error {
	violated := map[string][]loadtest.RecordViolation{}
	for _, v := range found {
		violated[v.Check] = append(violated[v.Check], v)
	}
	for _, check := range loadtest.RecordChecks {
		if len(violated[check.Name]) == 0 {
			fmt.Fprintln(out.stdout, "pass", check.Name)
			continue
		}
		fmt.Fprintf(out.stdout, "FAIL %s: %s\n", check.Name, check.Doc)
		for _, v := range violated[check.Name] {
			fmt.Fprintln(out.stdout, "    ", v.Row)
		}
	}
	fmt.Fprintf(out.stdout, "%d records were compared\n", records)
	if len(found) > 0 {
		return errViolated
	}
	return nil
}

func readHistory(path string) ([]loadtest.Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	records, err := loadtest.ReadRecords(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s has no record", path)
	}
	return records, nil
}
