package cart

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// checkAddress refuses fields outside their lengths in characters.
func checkAddress(a *proto.Address) error {
	err := errors.Join(
		checkText("name", a.GetName(), 1, 80),
		checkText("phone", a.GetPhone(), 3, 32),
		checkText("region", a.GetRegion(), 0, 80),
		checkText("city", a.GetCity(), 1, 80),
		checkText("street", a.GetStreet(), 1, 200),
		checkText("postal_code", a.GetPostalCode(), 0, 16),
	)
	if err != nil {
		return err
	}
	if c := a.GetCountry(); len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
		return invalid("country is two capital letters")
	}
	return nil
}

// MaskAddress returns what moderators and logs may see of an address: where it is roughly, the
// first character of the name, and the last two of the phone number.
func MaskAddress(a *proto.Address) *proto.Address {
	if a == nil {
		return nil
	}
	masked := &proto.Address{Country: a.Country, Region: a.Region, City: a.City}
	if a.Name != "" {
		_, size := utf8.DecodeRuneInString(a.Name)
		masked.Name = a.Name[:size] + "***"
	}
	if a.Phone != "" {
		masked.Phone = strings.Repeat("*", 6)
		if digits := []rune(a.Phone); len(digits) > 4 {
			masked.Phone += string(digits[len(digits)-2:])
		}
	}
	if a.Street != "" {
		masked.Street = "***"
	}
	if a.PostalCode != "" {
		masked.PostalCode = "***"
	}
	return masked
}

// SetAddress gives an own order of which nothing has shipped the address it goes to, and returns the order.
// The same address again changes nothing. Refusals: ErrOrderNotFound, ErrOrderState,
// invalid_argument.
func (c *Cart) SetAddress(ctx context.Context, userID string, cmd *proto.OrderAddress) (*proto.Order, error) {
	if cmd.ShipTo == nil {
		return nil, invalid("ship_to is missing")
	}
	if err := checkAddress(cmd.ShipTo); err != nil {
		return nil, err
	}
	var order *proto.Order
	changed := false
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		changed = false
		o, err := lockOwnOrder(ctx, tx, userID, cmd.OrderId)
		if err != nil {
			return err
		}
		if order, err = readOrder(ctx, tx, o.ID); err != nil {
			return err
		}
		if proto.Equal(order.ShipTo, cmd.ShipTo) {
			return nil
		}
		if o.State != awaitingPayment && o.State != paid || len(order.Shipments) > 0 {
			return ErrOrderState
		}
		shipTo, err := proto.Encode(proto.JSON, cmd.ShipTo)
		if err != nil {
			return err
		}
		changed = true
		order.ShipTo = cmd.ShipTo
		return tx.QueryRow(ctx, `UPDATE orders SET ship_to = $2, version = version + 1 WHERE id = $1 RETURNING version`, o.ID, shipTo).Scan(&order.Version)
	})
	if err != nil {
		return nil, wrap(err, "address of order %s", cmd.OrderId)
	}
	if changed {
		c.cfg.tell(order)
	}
	return order, nil
}

// lockOwnOrder is lockOrder for the buyer's own; another's is as if it were not there.
func lockOwnOrder(ctx context.Context, tx pgx.Tx, userID, orderID string) (lockedOrder, error) {
	if !store.ValidID(orderID) {
		return lockedOrder{}, ErrOrderNotFound
	}
	o, err := lockOrder(ctx, tx, orderID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && o.BuyerID != userID {
		return o, ErrOrderNotFound
	}
	return o, err
}
