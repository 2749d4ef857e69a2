package cart

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// Shop sells in one currency.
type Shop struct {
	ID string `json:"id"`
	// Name has 1 to 120 characters.
	Name string `json:"name"`
	// Currency is an ISO 4217 code in capitals and never changes.
	Currency string `json:"currency"`
}

// maxTitle bounds names and titles, in characters.
const maxTitle = 120

// checkText refuses text that is no UTF-8, holds a NUL (which Postgres does not take) or is outside
// its length in characters.
func checkText(field, s string, least, most int) error {
	if !utf8.ValidString(s) {
		return invalid("%s is not UTF-8", field)
	}
	for _, r := range s {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return invalid("%s holds a control character", field)
		}
	}
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return invalid("%s has %d to %d characters, not %d", field, least, most, n)
	}
	return nil
}

func checkID(field, id string) error {
	if !store.ValidID(id) {
		return invalid("%s has 1 to %d characters of A-Z, a-z, 0-9, _ and -", field, store.MaxID)
	}
	return nil
}

// PutShop makes a shop or renames it; the same shop twice changes nothing.
func (c *Cart) PutShop(ctx context.Context, s Shop) error {
	if err := errors.Join(checkID("id", s.ID), checkText("name", s.Name, 1, maxTitle)); err != nil {
		return err
	}
	if len(s.Currency) != 3 || s.Currency[0] < 'A' || s.Currency[0] > 'Z' || s.Currency[1] < 'A' || s.Currency[1] > 'Z' || s.Currency[2] < 'A' || s.Currency[2] > 'Z' {
		return invalid("currency is three capital letters")
	}
	var currency string
	err := c.cfg.Pool.QueryRow(ctx, `
		INSERT INTO shop (id, name, currency) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET name = CASE WHEN shop.currency = excluded.currency THEN excluded.name ELSE shop.name END
		RETURNING currency`, s.ID, s.Name, s.Currency).Scan(&currency)
	if err != nil {
		return fmt.Errorf("put shop %s: %w", s.ID, err)
	}
	if currency != s.Currency {
		return invalid("the shop sells in %s for good", currency)
	}
	return nil
}

// Shop returns a shop, or ErrShopNotFound.
func (c *Cart) Shop(ctx context.Context, id string) (Shop, error) {
	s := Shop{ID: id}
	err := c.cfg.Pool.QueryRow(ctx, `SELECT name, currency FROM shop WHERE id = $1`, id).Scan(&s.Name, &s.Currency)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, ErrShopNotFound
	}
	if err != nil {
		return s, fmt.Errorf("read shop %s: %w", id, err)
	}
	return s, nil
}
