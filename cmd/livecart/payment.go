package main

import (
	"context"
	"time"

	"livecart/cart"
	"livecart/gift"
	"livecart/proto"
)

// provider returns who takes payments: the sandbox, or nobody.
func (p *parts) provider() cart.Provider {
	if p.sandbox != nil {
		return p.sandbox
	}
	return noProvider{}
}

// noProvider stands where no payment provider is set up: orders can be made and not be paid.
type noProvider struct{}

var errNoProvider = proto.Refuse(proto.ReasonTryAgain, "no payment provider is set up")

// Create refuses.
func (noProvider) Create(context.Context, string, int64, string, string, time.Time) (string, error) {
	return "", errNoProvider
}

// topUpProvider is who takes payments, as gift asks for them. It cannot be asked how a payment stands,
// nor to give money back: refunds stay due and open top-ups wait for their notice.
type topUpProvider struct{ cart.Provider }

// Query refuses.
func (topUpProvider) Query(context.Context, string) (gift.Payment, error) {
	return gift.Payment{}, errNoProvider
}

// Refund refuses.
func (topUpProvider) Refund(context.Context, string, string, int64, string) (bool, error) {
	return false, errNoProvider
}
