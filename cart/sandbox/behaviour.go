package sandbox

import (
	"errors"
	"time"
)

// Behaviour says how the sandbox treats a payment. The zero value is a provider at its best.
type Behaviour struct {
	// RefuseCreate answers the first so many payment.create calls of a payment with 503.
	RefuseCreate int `json:"refuse_create,omitempty"`
	// SlowCreateMs is how long payment.create waits after it did its work; 0 to 60,000.
	SlowCreateMs int64 `json:"slow_create_ms,omitempty"`
	// Early pays the payment during payment.create and sends its notice before the answer.
	Early bool `json:"early,omitempty"`

	// Amount and Currency are what the payer pays instead of what was asked; 0 and "" for what was asked.
	Amount   int64  `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// PayAgain takes money each time somebody clicks Pay, also once paid.
	PayAgain bool `json:"pay_again,omitempty"`

	// NeverCloses lets the payer pay when the payment is closed or its time is over.
	NeverCloses bool `json:"never_closes,omitempty"`

	// Never sends no notice of what is paid.
	Never bool `json:"never,omitempty"`
	// Duplicate sends each notice so many times more, whatever is answered; up to 100.
	Duplicate int `json:"duplicate,omitempty"`
	// Forge sends, before each notice, and also where none is sent, one that says the same under
	// another key's signature.
	Forge bool `json:"forge,omitempty"`
	// Reorder holds each notice back until the next one of the sandbox that is to be reordered has been
	// sent, or for two seconds.
	Reorder bool `json:"reorder,omitempty"`
	// DelayMs is how long each notice waits before it is sent first.
	DelayMs int64 `json:"delay_ms,omitempty"`
	// AfterExpiry sends notices no sooner than a second after the payment's expiry.
	AfterExpiry bool `json:"after_expiry,omitempty"`

	// RefundFail answers the first so many refund.create calls of each refund with 503.
	RefundFail int `json:"refund_fail,omitempty"`
	// RefundDelayMs is how long a refund stays pending.
	RefundDelayMs int64 `json:"refund_delay_ms,omitempty"`
}

// maxWaitMs bounds every wait that a behaviour asks for: an hour.
const maxWaitMs = int64(time.Hour / time.Millisecond)

func (b Behaviour) check() error {
	switch {
	case b.RefuseCreate < 0 || b.RefundFail < 0 || b.Duplicate < 0 || b.Duplicate > 100:
		return errors.New("a count is out of range")
	case b.SlowCreateMs < 0 || b.SlowCreateMs > 60_000:
		return errors.New("slow_create_ms is 0 to 60000")
	case b.DelayMs < 0 || b.DelayMs > maxWaitMs || b.RefundDelayMs < 0 || b.RefundDelayMs > maxWaitMs:
		return errors.New("a wait is 0 to 3600000 ms")
	case b.Amount < 0 || b.Amount > MaxAmount || len(b.Currency) > 8:
		return errors.New("the amount or the currency is out of range")
	}
	return nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
