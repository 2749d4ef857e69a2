package loadtest

import (
	"context"
	"fmt"
	"time"
)

// fanoutTeam is a [Fanout] whose viewers agents hold.
type fanoutTeam struct {
	*fanoutRun
	team     *team
	machines []string // the agents'
	late     []string // why the run tells nothing
}

// byAgents has agents hold the viewers. They are let go by stop, which the caller must call.
func (r *fanoutRun) byAgents(ctx context.Context) (t *fanoutTeam, stop func(), err error) {
	team, err := r.Agents.assemble(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop = func() { team.close(ctx) }
	a, err := newAssignment(r.Target, r.Fanout.tag)
	if err == nil {
		a.News, a.MostLate = r.news, r.MostLate
		a.Fanout = &fanoutAssignment{Viewers: r.Viewers, Rate: r.Rate, MessageBytes: r.MessageBytes, For: r.For, Idle: r.Idle, JoinRate: r.JoinRate}
		err = team.assign(ctx, r.meter.begin, a)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return &fanoutTeam{fanoutRun: r, team: team}, stop, nil
}

// steps are those of the run, at all agents.
func (t *fanoutTeam) steps() []step {
	begun := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { return t.each(ctx, order{Name: name, Begin: time.Now().Add(lead)}) }
	}
	return []step{{"joining", begun(joinStep)}, {t.measuring(), begun(playStep)}, {"settling", t.settle}}
}

func (t *fanoutTeam) each(ctx context.Context, o order) error {
	_, err := t.team.do(ctx, o, nil)
	return err
}

// settle tells all agents how many comments there are.
func (t *fanoutTeam) settle(ctx context.Context) error {
	answers, err := t.team.do(ctx, order{Name: settleStep}, nil)
	if err != nil {
		return err
	}
	for _, a := range answers {
		t.accepted.Add(a.Comments)
	}
	return t.each(ctx, order{Name: headStep, Comments: t.accepted.Load()})
}

// fetch takes in what all agents measured and were told.
func (t *fanoutTeam) fetch(ctx context.Context) error {
	reports, err := t.team.fetch(ctx)
	for i, r := range reports {
		if r == nil || r.Fanout == nil {
			continue
		}
		m, f := t.team.members[i], r.Fanout
		own := part{i, len(reports)}
		if n := own.count(t.Viewers); len(f.Told) != n || len(f.Sampled) != n || len(f.Skipped) != n || len(f.Left) != n {
			return fmt.Errorf("agent %s tells of %d viewers, %d are its part", m.card.Name, len(f.Told), n)
		}
		t.machines, t.late = append(t.machines, m.machine(r)), append(t.late, m.complain(r)...)
		t.meter.Merge(r.Meter)
		t.merge(own, f)
		t.used = usage{t.used.cpu + f.CPU, t.used.rss + f.Memory}
		t.alone += f.Alone
		t.during += f.During
		t.lasted = max(t.lasted, f.Lasted)
	}
	return err
}
