package cart

import (
	"context"
	"errors"
	"time"
)

// Provider takes money for us and gives it back. It tells of what was paid by signed notices, see
// [VerifyNotice]; Query is for those that do not come. Payment and refund ids are ours. Amounts are in
// minor units of their currency (ISO 4217), at least 1. Every call may be repeated with the same
// arguments while the outcome of an earlier one is unknown, and then does nothing twice. Errors are for
// what may be asked again later. All methods are called by many goroutines at a time.
type Provider interface {
	// Create registers a payment and returns the address where the payer pays it; the same payment id
	// again returns the same address. After expires the payer is no longer asked for the money, though
	// some may still come.
	Create(ctx context.Context, paymentID string, amount int64, currency, description string, expires time.Time) (url string, err error)

	// Query returns what became of a payment. One that the provider never heard of is no error:
	// its state is ChargeUnknown.
	Query(ctx context.Context, paymentID string) (Charge, error)

	// Close ends a payment: nobody can pay it any more. One that is closed, or unknown, is no error; a
	// provider that can should refuse to register a closed id later. A payment that was paid is
	// ErrChargePaid and stays as it is.
	Close(ctx context.Context, paymentID string) error

	// Refund gives back part or all of what was paid for a payment. done says that the money is on its
	// way; false without an error, that the provider accepted the refund and has not done it yet: ask
	// again under the same id. The same refund id with other arguments is an error, as is more than
	// was paid in that currency and not given back.
	Refund(ctx context.Context, refundID, paymentID string, amount int64, currency string) (done bool, err error)
}

// ErrChargePaid says that a payment cannot be closed, as it was paid.
var ErrChargePaid = errors.New("the payment was paid")

// ChargeState is what a provider knows of a payment.
type ChargeState string

// States of a charge.
const (
	ChargeUnknown ChargeState = "unknown" // never registered
	ChargeUnpaid  ChargeState = "unpaid"  // may still be paid
	ChargePaid    ChargeState = "paid"    // at least one receipt
	ChargeClosed  ChargeState = "closed"  // not paid, and nobody can any more
)

// Charge is a payment as its provider sees it.
type Charge struct {
	State ChargeState
	// Receipts is the money that came, oldest first; more than one if the payer paid again.
	Receipts []Receipt
}

// Receipt is money that came for a payment. EventID is that of its notice, so that the notice, when it
// comes after all, is known already. TransactionID is as in [Notice].
type Receipt struct {
	EventID       string
	TransactionID string
	Amount        int64
	Currency      string
	PaidAt        time.Time
}

// notice returns the notice that tells of a receipt.
func (r Receipt) notice(provider, paymentID string) Notice {
	return Notice{
		Provider: provider, EventID: r.EventID, TransactionID: r.TransactionID, PaymentID: paymentID,
		Kind: PaymentSucceeded, Amount: r.Amount, Currency: r.Currency, PaidAt: r.PaidAt,
	}
}
