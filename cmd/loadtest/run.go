package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/loadtest"
	"livecart/session/store"
)

// errFailed says that a check failed, after the summary told which.
var errFailed = errors.New("a check failed")

// runCommand runs one scenario.
type runCommand struct {
	Scenario string `arg:"" enum:"smoke" help:"Which one: smoke."`

	ReadyFile   string   `help:"What livecart dev --ready-file wrote." type:"existingfile" placeholder:"FILE" xor:"target" required:""`
	URL         []string `name:"url" help:"Gateways, instead of a ready file." placeholder:"URL" xor:"target" required:""`
	Room        string   `help:"The room, with --url." default:"demo"`
	HostToken   string   `help:"A host's token, with --url." env:"LIVECART_HOST_TOKEN"`
	TokensFile  string   `help:"One viewer's token a line, with --url." type:"existingfile" placeholder:"FILE"`
	JWTKeyFile  string   `name:"jwt-key-file" help:"HMAC secret to make viewers' tokens with, with --url." env:"LIVECART_JWT_KEY_FILE" type:"existingfile" placeholder:"FILE"`
	DatabaseURL string   `name:"database-url" help:"Postgres to check the records in, with --url." env:"DATABASE_URL" placeholder:"URL"`

	Viewers  int    `help:"How many join." default:"200"`
	Pieces   int    `help:"Pieces of the flash sale." default:"50"`
	Attempts int    `help:"Attempts for each piece." default:"10"`
	JSON     string `name:"json" help:"Write the result to this file." placeholder:"FILE"`
}

// Run plays the scenario, prints the summary and fails when a check did.
func (c *runCommand) Run(ctx context.Context) error {
	target, err := c.target()
	if err != nil {
		return err
	}
	line := newProgressLine(os.Stderr)
	smoke := loadtest.Smoke{Target: target, Viewers: c.Viewers, Pieces: c.Pieces, AttemptsPerPiece: c.Attempts, Progress: line.show}
	if target.DatabaseURL != "" {
		smoke.Audit = func(ctx context.Context) ([]string, error) { return audit(ctx, target.DatabaseURL) }
	}
	result, err := smoke.Run(ctx)
	line.end()
	if err != nil {
		return err
	}
	if err := result.WriteSummary(os.Stdout); err != nil {
		return err
	}
	if c.JSON != "" {
		if err := writeResult(c.JSON, result); err != nil {
			return err
		}
	}
	if !result.Passed {
		return errFailed
	}
	return nil
}

func (c *runCommand) target() (loadtest.Target, error) {
	if c.ReadyFile != "" {
		return loadtest.ReadTarget(c.ReadyFile)
	}
	t := loadtest.Target{Gateways: c.URL, Room: c.Room, HostToken: c.HostToken, JWTKeyFile: c.JWTKeyFile, DatabaseURL: c.DatabaseURL}
	if c.TokensFile != "" {
		data, err := os.ReadFile(c.TokensFile)
		if err != nil {
			return t, fmt.Errorf("tokens: %w", err)
		}
		t.ViewerTokens = strings.Fields(string(data))
	}
	return t, nil
}

func writeResult(path string, result *loadtest.Result) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if err := errors.Join(result.WriteJSON(file), file.Close()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// audit runs every package's invariants and names what is violated.
func audit(ctx context.Context, databaseURL string) ([]string, error) {
	pool, err := store.OpenPostgres(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var violated []string
	err = store.InSnapshot(ctx, pool, func(tx pgx.Tx) error {
		found, err := store.Check(ctx, tx, slices.Concat(store.Invariants, cart.Invariants, gift.Invariants))
		for _, v := range found {
			violated = append(violated, fmt.Sprintf("%s: %v", v.Invariant, v.Row))
		}
		return err
	})
	return violated, err
}
