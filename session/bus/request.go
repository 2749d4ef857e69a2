package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"livecart/proto"
)

// queueGroup is shared by all ledger workers: one of them gets each request.
const queueGroup = "ledger"

// Request asks one ledger worker and waits for its answer or for ctx. An error leaves open whether
// the worker acted, except ErrNoResponders and ErrDisconnected: then nobody got it.
func (b *Bus) Request(ctx context.Context, kind string, req, resp proto.Message) error {
	if !b.nc.IsConnected() {
		return ErrDisconnected
	}
	data, err := proto.Encode(proto.Binary, req)
	if err != nil {
		return fmt.Errorf("request %s: %w", kind, err)
	}
	m, err := b.nc.RequestWithContext(ctx, b.ledgerSubject(kind), data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case err != nil:
		return fmt.Errorf("request %s: %w", kind, err)
	}
	if err := proto.Decode(proto.Binary, m.Data, resp); err != nil {
		return fmt.Errorf("answer to %s: %w", kind, err)
	}
	return nil
}

// Request is a question to this worker.
type Request struct{ msg *nats.Msg }

// Decode reads what is asked.
func (r Request) Decode(m proto.Message) error { return proto.Decode(proto.Binary, r.msg.Data, m) }

// Respond answers; call it once, from any goroutine.
func (r Request) Respond(m proto.Message) error {
	data, err := proto.Encode(proto.Binary, m)
	if err != nil {
		return fmt.Errorf("respond on %s: %w", r.msg.Subject, err)
	}
	if err := r.msg.Respond(data); err != nil {
		return fmt.Errorf("respond on %s: %w", r.msg.Subject, err)
	}
	return nil
}

// Serve makes this process one of the workers for a kind of request. fn must hand the request on
// and return: requests are called one after another.
func (b *Bus) Serve(kind string, fn func(Request)) (*Subscription, error) {
	return subscribe(b, b.ledgerSubject(kind), queueGroup, func(m *nats.Msg) { fn(Request{m}) })
}
