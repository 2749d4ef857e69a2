package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/session/store"
)

// audit runs every package's invariants in a read-only transaction and names what is violated.
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
