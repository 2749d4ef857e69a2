package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"livecart/cart"
	"livecart/cart/sandbox"
	"livecart/gift"
	"livecart/proto"
)

// sandboxProvider is the sandbox's name in what is recorded of payments.
const sandboxProvider = "sandbox"

// openProvider returns who takes payments and the secret that its notices are signed with: the sandbox
// where it is set up, else nobody.
func (s *settings) openProvider() (cart.Provider, string, error) {
	switch {
	case s.SandboxURL == "" && s.WebhookSecretFile == "":
		return noProvider{}, "", nil
	case s.SandboxURL == "" || s.WebhookSecretFile == "":
		return nil, "", errors.New("payments need both LIVECART_SANDBOX_URL and LIVECART_WEBHOOK_SECRET_FILE")
	}
	secret, err := readSecret(s.WebhookSecretFile)
	if err != nil {
		return nil, "", err
	}
	client, err := sandbox.NewClient(s.SandboxURL, secret)
	return client, secret, err
}

// readSecret reads a webhook secret from its file.
func readSecret(path string) (string, error) {
	secret, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("webhook secret: %w", err)
	}
	return strings.TrimSpace(string(secret)), nil
}

// noProvider stands where no payment provider is set up: orders can be made and not be paid.
type noProvider struct{}

var errNoProvider = proto.Refuse(proto.ReasonTryAgain, "no payment provider is set up")

// Create refuses.
func (noProvider) Create(context.Context, string, int64, string, string, time.Time) (string, error) {
	return "", errNoProvider
}

// Query refuses.
func (noProvider) Query(context.Context, string) (cart.Charge, error) {
	return cart.Charge{}, errNoProvider
}

// Close refuses.
func (noProvider) Close(context.Context, string) error { return errNoProvider }

// Refund refuses.
func (noProvider) Refund(context.Context, string, string, int64, string) (bool, error) {
	return false, errNoProvider
}

// topUpProvider is who takes payments, as gift asks for them.
type topUpProvider struct{ cart.Provider }

// Query tells how a top-up stands. Of several payments of one top-up it tells the first, as the others
// are no beans.
func (p topUpProvider) Query(ctx context.Context, paymentID string) (gift.Payment, error) {
	charge, err := p.Provider.Query(ctx, paymentID)
	if err != nil {
		return gift.Payment{}, err
	}
	state, ok := map[cart.ChargeState]string{
		cart.ChargeUnknown: gift.PaymentUnknown, cart.ChargeUnpaid: gift.PaymentOpen,
		cart.ChargePaid: gift.PaymentPaid, cart.ChargeClosed: gift.PaymentClosed,
	}[charge.State]
	if !ok {
		return gift.Payment{}, fmt.Errorf("payment %s: the provider says %q", paymentID, charge.State)
	}
	stands := gift.Payment{State: state}
	if len(charge.Receipts) > 0 {
		r := charge.Receipts[0]
		stands.Amount, stands.Currency, stands.EventID, stands.PaidAt = r.Amount, r.Currency, r.EventID, r.PaidAt
	}
	return stands, nil
}
