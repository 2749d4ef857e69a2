package loadtest

import (
	"context"
	"fmt"
	"time"
)

// Steps of a [Fanout] by agents are joinStep, playStep, settleStep, in which it is waited for the outcome of
// every comment of the agent, and headStep, in which it is waited until all were told of everybody's.

// fanoutPart plays a part of a [Fanout] at an agent.
type fanoutPart struct{ *fanoutRun }

func newFanoutPart(a assignment, meter *Meter) (*fanoutPart, error) {
	f, err := Fanout{
		Target: a.target(), Viewers: a.Fanout.Viewers, Rate: a.Fanout.Rate, MessageBytes: a.Fanout.MessageBytes, For: a.Fanout.For,
		Idle: a.Fanout.Idle, JoinRate: a.Fanout.JoinRate, MostLate: a.MostLate, news: a.News, part: a.Part, tag: a.Tag,
	}.complete()
	if err != nil {
		return nil, err
	}
	r, err := f.newRun(meter)
	if err != nil {
		return nil, err
	}
	return &fanoutPart{r}, r.enter()
}

func (p *fanoutPart) viewers() int { return len(p.tokens) }

func (p *fanoutPart) do(ctx context.Context, o order) (a answer, err error) {
	switch o.Name {
	case joinStep:
		err = p.join(ctx, steady(o.Begin))
	case playStep:
		err = p.measured(ctx, steady(o.Begin))
	case settleStep:
		until(ctx, p.news, func() bool { return p.answered.Load() == p.sent.Load() })
		a.Comments = p.accepted.Load()
	case headStep:
		p.accepted.Store(o.Comments)
		until(ctx, p.news, func() bool { return p.lost() == 0 })
	default:
		err = fmt.Errorf("there is no step %q", o.Name)
	}
	return a, err
}

func (p *fanoutPart) leave() { p.swarm.Close() }

// fanoutReport is what a part of a [Fanout] was told.
type fanoutReport struct {
	Sent      int64 `json:"sent"`
	Answered  int64 `json:"answered"`
	Accepted  int64 `json:"accepted"` // own ones, or all once they were told
	Open      int64 `json:"open"`
	Strangers int64 `json:"strangers"`
	// Of each viewer, in the order of their numbers.
	Told    []int32 `json:"told"`
	Sampled []int32 `json:"sampled"`
	Skipped []int32 `json:"skipped"`
	Left    []bool  `json:"left"`
	// What the agent used while it was measured: seconds of CPU, bytes in all, and before anybody joined.
	CPU    float64       `json:"cpu"`
	Memory float64       `json:"memory"`
	Alone  float64       `json:"alone"`
	Lasted time.Duration `json:"lasted"`
	During int64         `json:"during"` // deliveries
}

func (p *fanoutPart) report() (report, error) {
	out := &fanoutReport{
		Sent: p.sent.Load(), Answered: p.answered.Load(), Accepted: p.accepted.Load(), Open: p.open.Load(), Strangers: p.strangers.Load(),
		CPU: p.used.cpu, Memory: p.used.rss, Alone: p.alone, Lasted: p.lasted, During: p.during,
	}
	for i := range p.heard {
		h := &p.heard[i]
		out.Told, out.Sampled, out.Skipped = append(out.Told, h.told.Load()), append(out.Sampled, h.sampled.Load()), append(out.Skipped, h.skipped.Load())
		out.Left = append(out.Left, h.left.Load())
	}
	return report{Meter: p.meter, Invalid: p.invalid(), Fanout: out}, nil
}

// merge adds what viewers of one agent were told, whose part it is.
func (t *fanoutTally) merge(own part, r *fanoutReport) {
	t.sent.Add(r.Sent)
	t.answered.Add(r.Answered)
	t.open.Add(r.Open)
	t.strangers.Add(r.Strangers)
	for i := range r.Told {
		h := &t.heard[i*own.Of+own.Number]
		h.told.Store(r.Told[i])
		h.sampled.Store(r.Sampled[i])
		h.skipped.Store(r.Skipped[i])
		h.left.Store(r.Left[i])
	}
}
