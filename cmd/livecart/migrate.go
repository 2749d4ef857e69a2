package main

import (
	"context"
	"errors"
	"fmt"

	"livecart/session/store"
)

// migrateCommand brings the database to this build's schema.
type migrateCommand struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" help:"Postgres." placeholder:"URL"`
}

// Run migrates and says what it did.
func (c *migrateCommand) Run(ctx context.Context) error {
	if c.DatabaseURL == "" {
		return errors.New("migrate: DATABASE_URL is not set")
	}
	applied, err := store.MigrateReport(ctx, c.DatabaseURL)
	for _, name := range applied {
		fmt.Println("applied", name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Println("the schema is current")
	}
	return err
}
