package gift

import (
	"context"
	"time"
)

// Provider takes payments and gives money back. Its calls may come from any number of processes at
// once and be repeated when their outcome was lost.
type Provider interface {
	// Create asks for a payment and returns where the payer goes; asked again with the same paymentID
	// it must not make a second payment. amount is in minor units of currency (ISO 4217).
	Create(ctx context.Context, paymentID string, amount int64, currency, description string, expires time.Time) (url string, err error)
	// Query tells how a payment stands.
	Query(ctx context.Context, paymentID string) (Payment, error)
	// Refund gives amount of what was paid under paymentID back, once for each refundID however often it
	// is asked. done is false while the provider has taken it on and not finished it: ask again.
	Refund(ctx context.Context, refundID, paymentID string, amount int64, currency string) (done bool, err error)
}

// States of a payment at its provider.
const (
	PaymentUnknown = "unknown" // the provider has none of this id
	PaymentOpen    = "open"    // may still be paid
	PaymentPaid    = "paid"
	PaymentClosed  = "closed" // was not paid and cannot be any more
)

// Payment is what a provider says of a payment when asked.
type Payment struct {
	State string
	// The rest is given with PaymentPaid. Amount is what was paid, in minor units of Currency.
	Amount   int64
	Currency string
	// EventID is that of the notice which tells the same, so that both are one event.
	EventID string
	PaidAt  time.Time
}
