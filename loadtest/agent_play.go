package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"livecart/proto"
)

// Steps of a Play by agents, in their order.
const (
	joinStep   = "join"   // the regulars
	fundStep   = "fund"   // the givers
	playStep   = "play"   // the schedule
	leaveStep  = "leave"  // of those who come and go, once the schedule is over for all
	settleStep = "settle" // until all were told of all comments
	payStep    = "pay"
	headStep   = "catch up" // until all were told of all numbered events
	askStep    = "ask"      // for orders and balances
)

// playPart plays a part of a [Play] at an agent.
type playPart struct {
	*playRun
	history             *bytes.Buffer // nil where nobody wants it
	badOrders, badFunds []string
}

func newPlayPart(a assignment, meter *Meter) (*playPart, error) {
	if a.Play.Plan.Viewers < 1 || a.Part.Of < 1 || len(a.Gateways) == 0 {
		return nil, fmt.Errorf("the assignment has %d viewers, %d parts and %d gateways", a.Play.Plan.Viewers, a.Part.Of, len(a.Gateways))
	}
	target, err := a.target().prepare()
	if err != nil {
		return nil, err
	}
	p := Play{Plan: a.Play.Plan, Seed: a.Play.Seed, Target: target, MostLate: a.MostLate, part: a.Part, tag: a.Tag, pace: pace{news: a.News}}
	own := new(playPart)
	if a.History {
		own.history = new(bytes.Buffer)
		p.Recorder = NewRecorder(own.history)
	}
	own.playRun = p.newRun(a.Key)
	own.meter = meter
	return own, nil
}

func (p *playPart) viewers() int { return p.Plan.mostOf(p.part) }

func (p *playPart) progress() Progress { return p.smokeRun.progress() }

func (p *playPart) do(ctx context.Context, o order) (a answer, err error) {
	switch o.Name {
	case joinStep:
		err = p.gather(ctx)
	case fundStep:
		err = p.fund(ctx)
	case playStep:
		p.sale = &proto.FlashSale{Id: o.SaleID}
		err = p.hand(ctx, steady(o.Begin))
	case leaveStep:
		err = p.visitors.close(ctx)
		a = answer{Comments: int64(len(p.comments)), Likes: p.likes.Load(), Orders: len(p.ordered())}
	case settleStep:
		until(ctx, p.pace.news, func() bool { return p.told(int(o.Comments)) })
	case payStep:
		if o.Payers > len(p.ordered()) {
			return a, fmt.Errorf("%d are to pay and %d have orders", o.Payers, len(p.ordered()))
		}
		err = p.payFirst(ctx, o.Payers)
	case headStep:
		until(ctx, p.pace.news, func() bool { return p.knows(o.Head) })
	case askStep:
		if p.unknown.count() == 0 {
			p.badOrders, p.badFunds = p.askOrders(ctx), p.askBalances(ctx)
		}
		a.Viewers, a.Visits = p.crowd.audience.here()
	default:
		err = fmt.Errorf("there is no step %q", o.Name)
	}
	return a, err
}

// knows reports whether everybody was told of the numbered events up to head.
func (p *playPart) knows(head int64) bool {
	for _, q := range p.following() {
		if q.history.last() < head {
			return false
		}
	}
	return true
}

func (p *playPart) leave() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	p.endPlay(gone)
	p.end()
}

// playReport is what a part of a [Play] was told.
type playReport struct {
	People   []personReport  `json:"people"`
	Comments []string        `json:"comments"` // that were accepted
	Likes    int64           `json:"likes"`
	Refused  int64           `json:"refused"`
	Paid     int64           `json:"paid"`
	Tips     []tipReport     `json:"tips"`
	Attempts []attemptReport `json:"attempts"`
	Broken   []string        `json:"broken,omitempty"`
	// What was found when owners asked.
	BadOrders []string `json:"bad_orders,omitempty"`
	BadFunds  []string `json:"bad_funds,omitempty"`

	Unknown complaintReport `json:"unknown"`
	Failed  complaintReport `json:"failed"`
	Lost    complaintReport `json:"lost"`
	Gaps    complaintReport `json:"gaps"`
	Resumed complaintReport `json:"resumed"`
	// Numbered events that those who resumed were not told, and how many they were told.
	Forgotten complaintReport `json:"forgotten"`
	CaughtUp  int64           `json:"caught_up"`
}

// personReport is one of the regulars.
type personReport struct {
	Number     int      `json:"number"`
	ID         string   `json:"id"`
	Reconnects int      `json:"reconnects"`
	History    *History `json:"history"`
}

type tipReport struct {
	Sender string   `json:"sender"`
	Key    string   `json:"key"`
	Beans  int64    `json:"beans"`
	IDs    []string `json:"ids"`
}

type attemptReport struct {
	Buyer   string       `json:"buyer"`
	Key     string       `json:"key"`
	Reason  proto.Reason `json:"reason,omitempty"`
	OrderID string       `json:"order_id,omitempty"`
	Paid    bool         `json:"paid,omitempty"`
	Created int64        `json:"created_ms,omitempty"`
}

// complaintReport is a count of complaints and the first of them.
type complaintReport struct {
	N     int64  `json:"n"`
	First string `json:"first,omitempty"`
}

func (c *complaints) report() complaintReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return complaintReport{c.n, c.first}
}

// merge adds what was counted elsewhere.
func (c *complaints) merge(r complaintReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		c.first = r.First
	}
	c.n += r.N
}

func (p *playPart) report() (report, error) {
	out := &playReport{
		Comments: slices.Sorted(maps.Keys(p.comments)), Likes: p.likes.Load(), Refused: p.refused.Load(), Paid: p.paid.Load(), Broken: p.broken,
		BadOrders: p.badOrders, BadFunds: p.badFunds, Unknown: p.unknown.report(),
	}
	if p.visitors != nil {
		out.Failed, out.Lost, out.Gaps, out.Resumed = p.visitors.failed.report(), p.visitors.lost.report(), p.visitors.gaps.report(), p.visitors.resumed.report()
		out.Forgotten, out.CaughtUp = p.visitors.forgotten.report(), p.visitors.caughtUp.Load()
	}
	if p.crowd != nil {
		for i, q := range p.crowd.people {
			q.mu.Lock()
			out.People = append(out.People, personReport{Number: i*p.part.Of + p.part.Number, ID: q.id, Reconnects: q.reconnects, History: q.history})
			q.mu.Unlock()
		}
	}
	for _, t := range p.tips {
		out.Tips = append(out.Tips, tipReport{t.sender.id, t.key, t.beans, t.tipIDs})
	}
	for _, a := range p.attempts {
		out.Attempts = append(out.Attempts, attemptReport{a.buyer.id, a.key, a.reason, a.orderID, a.paid, a.created})
	}
	r := report{Meter: p.meter, Play: out}
	if late := punctual(p.meter, p.MostLate); late != nil {
		r.Invalid = append(r.Invalid, late.Error())
	}
	if p.history != nil {
		if err := p.Play.Recorder.Close(); err != nil {
			return report{}, err
		}
		r.History = p.history.Bytes()
	}
	return r, nil
}
