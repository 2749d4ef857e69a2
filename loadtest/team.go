package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// Bounds of a run by agents.
const (
	maxAgents = 100
	// findTime is how long the run waits for enough agents to answer.
	findTime = 5 * time.Second
	// lead is how long before it begins a step is told to all.
	lead = time.Second
	// lookInterval is how often the run looks how far agents are, tryTime how long one request may take
	// before it is sent again.
	lookInterval, tryTime = 250 * time.Millisecond, 2 * time.Second
	// fetchTime bounds the gathering of what was measured, and the parting, after the end of a run.
	fetchTime = time.Minute
	// clockRounds is how often each clock is asked; the quickest answer counts.
	clockRounds = 9
	// mostSkew is how far an agent's clock may be off the run's. It is taken into account; one that is off
	// further is not kept in time by anything, and will not stay where it is.
	mostSkew = 100 * time.Millisecond
)

// Agents are processes, on other machines as a rule, that play the viewers of a run; see [Agent].
type Agents struct {
	// Count is how many, 1 to 100 and no more than there are viewers; with 0 this process plays all.
	Count int
	// NATSURL is where they wait.
	NATSURL string

	// findTime and agentPatience when 0.
	find, patience time.Duration
}

// check says what makes no run by agents.
func (a Agents) check(viewers int) error {
	switch {
	case a.Count < 0 || a.Count > maxAgents:
		return fmt.Errorf("a run has 1 to %d agents, not %d", maxAgents, a.Count)
	case a.Count > viewers:
		return fmt.Errorf("%d agents cannot share %d viewers", a.Count, viewers)
	}
	return nil
}

// team are the agents of one run. Its methods are called by one goroutine, but for progress.
type team struct {
	Agents
	nc      *nats.Conn
	run     string // names it in every request
	members []*member
	step    int
}

// assemble finds agents that are free and binds them to the run.
func (a Agents) assemble(ctx context.Context) (*team, error) {
	a.find, a.patience = cmp.Or(a.find, findTime), cmp.Or(a.patience, agentPatience)
	nc, err := connectNATS(a.NATSURL, "loadtest run")
	if err != nil {
		return nil, err
	}
	t := &team{Agents: a, nc: nc, run: rand.Text()[:12]}
	cards, err := t.findAgents(ctx)
	if err == nil {
		for _, c := range cards {
			t.members = append(t.members, &member{card: c, team: t})
		}
		err = t.all(ctx, func(ctx context.Context, m *member) error {
			if _, err := m.ask(ctx, "take", 0, nil); err != nil {
				return err
			}
			return m.compareClocks(ctx)
		})
	}
	if err != nil {
		t.close(ctx)
		return nil, err
	}
	return t, nil
}

// findAgents returns as many free agents of this build as are needed, by name.
func (t *team) findAgents(ctx context.Context) ([]card, error) {
	answers, err := t.nc.SubscribeSync(t.nc.NewRespInbox())
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	defer answers.Unsubscribe()
	known := map[string]card{} // by id
	for end := time.Now().Add(t.find); time.Now().Before(end) && ctx.Err() == nil; {
		if err := t.nc.PublishRequest(agentsSubject, answers.Subject, nil); err != nil {
			return nil, fmt.Errorf("NATS: %w", err)
		}
		// All that answer at once are known before some are chosen, so that the choice does not depend on who is first.
		for next := time.Now().Add(lookInterval); ; {
			m, err := answers.NextMsg(time.Until(next))
			if err != nil {
				break
			}
			var c card
			if err := json.Unmarshal(m.Data, &c); err == nil && c.ID != "" {
				known[c.ID] = c
			}
		}
		if free := freeOf(known); len(free) >= t.Count {
			return free[:t.Count], nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, t.tooFew(known)
}

// byName are cards in order.
func byName(known map[string]card) []card {
	return slices.SortedFunc(maps.Values(known), func(a, b card) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
}

// freeOf returns those that can play.
func freeOf(known map[string]card) (free []card) {
	for _, c := range byName(known) {
		if c.Run == "" && c.Build == ownBuild() {
			free = append(free, c)
		}
	}
	return free
}

// tooFew says what became of those that are missing.
func (t *team) tooFew(known map[string]card) error {
	text := fmt.Sprintf("%d agents are needed and %d can be had after %v at %s", t.Count, len(freeOf(known)), t.find, withoutPassword(t.NATSURL))
	for _, c := range byName(known) {
		switch {
		case c.Build != ownBuild():
			text += fmt.Sprintf("; agent %s is of another version (%v, this run is %v): schedules may differ", c.Name, c.Build, ownBuild())
		case c.Run != "":
			text += fmt.Sprintf("; agent %s plays for another run (%s)", c.Name, c.Run)
		}
	}
	if len(known) < t.Count {
		text += "; on each machine, loadtest agent --nats URL starts one"
	}
	return errors.New(text)
}

// all does something with each member at once and waits; the first error ends the rest and names its agent.
func (t *team) all(ctx context.Context, do func(context.Context, *member) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range t.members {
		group.Go(func() error {
			if err := do(ctx, m); err != nil {
				return fmt.Errorf("agent %s: %w", m.card.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// assign gives each member its part.
func (t *team) assign(ctx context.Context, begin time.Time, a assignment) error {
	return t.all(ctx, func(ctx context.Context, m *member) error {
		own := a
		own.Part = part{m.number(), len(t.members)}
		own.Begin = m.clock(begin)
		data, err := json.Marshal(own)
		if err != nil {
			return err
		}
		return m.write(ctx, data)
	})
}

// do has each member carry out an order and returns what came of it. change, unless nil, makes an order
// the member's own.
func (t *team) do(ctx context.Context, o order, change func(*order, *member)) ([]answer, error) {
	t.step++
	o.Step = t.step
	answers := make([]answer, len(t.members))
	err := t.all(ctx, func(ctx context.Context, m *member) (err error) {
		own := o
		own.Begin = m.clock(o.Begin)
		if change != nil {
			change(&own, m)
		}
		answers[m.number()], err = m.carryOut(ctx, own)
		return err
	})
	return answers, err
}

// fetch has every member stop and report, though ctx may have ended; those that are dead have none.
func (t *team) fetch(ctx context.Context) ([]*report, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	reports := make([]*report, len(t.members))
	errs := make([]error, len(t.members))
	t.all(ctx, func(ctx context.Context, m *member) error {
		reports[m.number()], errs[m.number()] = m.fetch(ctx) // what one has is worth having without the others
		return nil
	})
	for i, m := range t.members {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("agent %s has no report: %w", m.card.Name, errs[i])
		}
	}
	return reports, errors.Join(errs...)
}

// progress is that of all.
func (t *team) progress() (sum Progress) {
	for _, m := range t.members {
		p := m.progress.Load()
		if p == nil {
			continue
		}
		sum.Viewers += p.Viewers
		sum.Comments += p.Comments
		sum.Likes += p.Likes
		sum.Gifts += p.Gifts
		sum.Attempts += p.Attempts
		sum.Ordered += p.Ordered
		sum.Paid += p.Paid
		sum.Reconnect += p.Reconnect
	}
	return sum
}

// close frees the members, though ctx may have ended, and the connection. One that is not reached frees itself.
func (t *team) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	t.all(ctx, func(ctx context.Context, m *member) error {
		if !m.dead.Load() {
			m.ask(ctx, "free", 0, nil) // one that never was this run's refuses
		}
		return nil
	})
	closed := make(chan struct{})
	t.nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.nc.Close()
	<-closed
}
