package cart

import (
	"context"
	"time"
)

// Provider takes money for us. It tells of what was paid by signed notices, see [VerifyNotice].
type Provider interface {
	// Create registers a payment and returns the address where the payer pays it. It is called again
	// with the same payment id when the outcome of an earlier call is unknown, and must then register
	// nothing new. amount is in minor units of currency (ISO 4217); after expires the payer is no
	// longer asked for the money, though some may still come.
	Create(ctx context.Context, paymentID string, amount int64, currency, description string, expires time.Time) (url string, err error)
}
