package loadtest

import (
	"context"
	"fmt"
	"sync"

	"livecart/proto"
)

// joining is how many handshakes of a crowd are under way at once.
const joining = 32

// crowd is the people of one run, each with a user of its own.
type crowd struct {
	people   []*person
	meter    *Meter
	audience *audience
}

// gather makes people of these tokens and joins them, taking turns over gateways and formats by their
// numbers. What they ask for is recorded where recorder is not nil; those who lose their connection come
// back by themselves where back is not nil.
func gather(ctx context.Context, t Target, tokens []viewerToken, recorder *Recorder, meter *Meter, back *comebacks) (*crowd, error) {
	c := &crowd{meter: meter, audience: newAudience(meter)}
	for _, token := range tokens {
		// Turns over formats go at half the pace of turns over gateways, so that every pair occurs.
		format := proto.Format(token.number / len(t.Gateways) % proto.Formats)
		p := newPerson(t, token.user, token.text, format, c.meter)
		p.turn, p.recorder, p.audience, p.likes = token.number, recorder, c.audience, c.audience.likes.reader()
		if back != nil {
			back.adopt(token.number, p)
		}
		c.people = append(c.people, p)
	}
	if err := each(ctx, joining, c.people, func(ctx context.Context, p *person) error { return p.join(ctx) }); err != nil {
		c.leave()
		return nil, fmt.Errorf("the crowd could not join: %w", err)
	}
	return c, nil
}

// leave ends every connection and waits for its goroutine.
func (c *crowd) leave() {
	var leaving sync.WaitGroup
	for _, p := range c.people {
		leaving.Go(p.leave)
	}
	leaving.Wait()
}
