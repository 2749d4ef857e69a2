package main

import (
	"context"
	"time"

	"livecart/cart"
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
