package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// payment is a row: a request to pay an order's amount at one price version.
type payment struct {
	id, orderID, state, currency, url string
	amount, priceVersion              int64
	expires                           time.Time
}

func (p *payment) wire() *proto.Payment {
	return &proto.Payment{
		PaymentId: p.id, OrderId: p.orderID, Amount: p.amount, Currency: p.currency,
		PriceVersion: p.priceVersion, Url: p.url, ExpiresAtMs: p.expires.UnixMilli(),
	}
}

const paymentColumns = `SELECT id, order_id, state, currency, url, amount, price_version, expires_at FROM payment `

func scanPayment(row pgx.Row) (*payment, error) {
	p := new(payment)
	err := row.Scan(&p.id, &p.orderID, &p.state, &p.currency, &p.url, &p.amount, &p.priceVersion, &p.expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return p, err
}

// Pay returns where to pay an own order that awaits its payment. Asked again it returns the same
// payment while the price is the same; a request_id sent again returns its order's payment in any
// state. Refusals: ErrOrderNotFound, ErrOrderState once paid, cancelled or over its window,
// ErrKeyConflict, and ErrTryAgain where the provider did not register the payment.
func (c *Cart) Pay(ctx context.Context, userID, requestID, orderID string) (*proto.Payment, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	id := store.NewID("pay")
	var p *payment
	var order *proto.Order
	var settled bool
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) (err error) {
		p, settled = nil, false
		if err := lockPaymentID(ctx, tx, id); err != nil {
			return err
		}
		again, err := claimKey(ctx, tx, userID, kindOrderPay, requestID, &proto.OrderPay{OrderId: orderID})
		if err != nil {
			return err
		}
		o, err := lockOwnOrder(ctx, tx, userID, orderID)
		if err != nil {
			return err
		}
		p, err = requestedPayment(ctx, tx, o, again)
		if err != nil {
			return err
		}
		if p == nil {
			if p, settled, err = c.cfg.requestPayment(ctx, tx, o, id); err != nil {
				return err
			}
		}
		order, err = readOrder(ctx, tx, orderID)
		return err
	})
	if err != nil {
		return nil, wrap(err, "pay order %s", orderID)
	}
	if settled {
		c.cfg.entered(order)
	}
	if p.url == "" && p.state == "requested" {
		if err := c.register(ctx, p, order); err != nil {
			return nil, err
		}
	}
	return p.wire(), nil
}

// lockPaymentID makes those who deal with one payment wait for one another even before its row
// exists: a notice must not be filed as unmatched while the payment is being made.
func lockPaymentID(ctx context.Context, tx pgx.Tx, id string) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('payment:' || $1, 0))`, id); err != nil {
		return fmt.Errorf("lock payment %s: %w", id, err)
	}
	return nil
}

// requestedPayment returns the order's payment that may still be paid, nil when one must be made.
// Asked by a key that was used before, any payment of the order will do.
func requestedPayment(ctx context.Context, tx pgx.Tx, o lockedOrder, again bool) (*payment, error) {
	payable := o.State == awaitingPayment && !o.Overdue
	if !payable && !again {
		return nil, ErrOrderState
	}
	p, err := scanPayment(tx.QueryRow(ctx, paymentColumns+`
		WHERE order_id = $1 AND ($2 OR state = 'requested' AND price_version = $3 AND amount = $4)
		ORDER BY created_at DESC LIMIT 1`, o.ID, !payable, o.PriceVersion, o.Amount))
	if err != nil {
		return nil, fmt.Errorf("read payment of order %s: %w", o.ID, err)
	}
	if p == nil && !payable {
		return nil, ErrOrderState
	}
	return p, nil
}

// requestPayment makes the order's payment and acts on notices that came before it; settled says
// that one of them paid the order. The order and the payment's id are locked.
func (cfg Config) requestPayment(ctx context.Context, tx pgx.Tx, o lockedOrder, id string) (p *payment, settled bool, err error) {
	p, err = scanPayment(tx.QueryRow(ctx, `
		INSERT INTO payment (id, order_id, provider, amount, currency, price_version, expires_at)
		SELECT $1, id, $3, amount, currency, price_version, expires_at FROM orders WHERE id = $2
		RETURNING id, order_id, state, currency, url, amount, price_version, expires_at`, id, o.ID, cfg.ProviderName))
	if err != nil {
		return nil, false, fmt.Errorf("make payment of order %s: %w", o.ID, err)
	}
	rows, err := tx.Query(ctx, `
		SELECT event_id, transaction_id, kind, amount, currency FROM payment_notice
		WHERE payment_id = $1 AND provider = $2 AND result = 'unmatched' ORDER BY received_at, event_id`, id, cfg.ProviderName)
	if err != nil {
		return nil, false, fmt.Errorf("early notices of payment %s: %w", id, err)
	}
	early, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Notice, error) {
		n := Notice{Provider: cfg.ProviderName, PaymentID: id}
		return n, row.Scan(&n.EventID, &n.TransactionID, &n.Kind, &n.Amount, &n.Currency)
	})
	if err != nil {
		return nil, false, fmt.Errorf("early notices of payment %s: %w", id, err)
	}
	for _, n := range early {
		s, err := settlePayment(ctx, tx, n, p, o)
		if err != nil {
			return nil, false, err
		}
		p.state = s.payment
		if s.order != o.State {
			o.State, settled = s.order, true
		}
	}
	return p, settled, nil
}

// register has the provider take the payment and keeps the address. A failure in between is mended
// by the next Pay: the provider knows the payment's id.
func (c *Cart) register(ctx context.Context, p *payment, o *proto.Order) error {
	url, err := c.cfg.Provider.Create(ctx, p.id, p.amount, p.currency, o.Lines[0].Title, p.expires)
	var refusal *proto.Problem
	if errors.As(err, &refusal) {
		return refusal
	}
	if err != nil {
		c.cfg.Log.Warn("the provider did not register a payment", "payment", p.id, "err", err)
		return ErrTryAgain.After(retryAfter)
	}
	p.url = url
	if _, err := c.cfg.Pool.Exec(ctx, `UPDATE payment SET url = $2 WHERE id = $1`, p.id, url); err != nil {
		return fmt.Errorf("keep address of payment %s: %w", p.id, err)
	}
	return nil
}

// voidPayments ends the order's open payments but one: the provider is asked soon to take no money for
// them, and what comes all the same is given back.
func voidPayments(ctx context.Context, tx pgx.Tx, orderID, butID string) error {
	_, err := tx.Exec(ctx, `
		UPDATE payment SET state = 'void', query_at = clock_timestamp() WHERE order_id = $1 AND id <> $2 AND state = 'requested'`, orderID, butID)
	if err != nil {
		return fmt.Errorf("void payments of order %s: %w", orderID, err)
	}
	return nil
}
