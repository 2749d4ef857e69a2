package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strings"
	"time"

	"livecart/proto"
)

// Fanout joins many viewers and has comments sent at a fixed rate, or none: for comparing gateways, and
// for what idle viewers cost. It measures deliveries and their latency, accounts for every comment at
// every viewer, and tells what the client itself used.
type Fanout struct {
	Target Target
	// Viewers is how many join, over all gateways and both formats by turns; 1000 when 0.
	Viewers int
	// Rate is how many comments are sent a second in all, 50 when 0, at most 1000. Viewers take turns, and
	// a server takes 20 comments in 30 s from each: it needs at least 3 viewers for 2 comments a second.
	Rate int
	// MessageBytes is the length of a comment, 200 when 0, 32 to 500.
	MessageBytes int
	// For is how long comments are sent, or nothing happens; 30 s when 0.
	For time.Duration
	// Idle sends no comments.
	Idle bool
	// JoinRate is how many joins begin a second; 500 when 0, at most 10,000.
	JoinRate int
	// MostLate is how late 99 of 100 joins and comments may be handed out at most in a valid run; 50 ms when 0.
	MostLate   time.Duration
	Thresholds []Threshold
	// Progress, if set, is told several times a second how far the run is.
	Progress func(Progress)

	// Agents hold the viewers in place of this process, where their Count is above 0.
	Agents Agents

	// How long comments may take to reach everybody after the last one; 10 s when 0.
	news time.Duration
	// What this process plays of the run, and a word that all processes of the run share; one of chance
	// when empty.
	part part
	tag  string
}

// mostBusy is which part of the processors this program may use in a valid run: above it, what it
// measures is how fast it reads.
const mostBusy = 0.9

// fanoutRun is one run's state.
type fanoutRun struct {
	Fanout
	fanoutTally
	swarm  Swarm
	tokens []viewerToken

	used    usage         // by this program while it was measured
	alone   float64       // its memory before anybody joined
	lasted  time.Duration // of the measured time
	during  int64         // deliveries in it
	failed  int           // joins
	refusal error         // of the first of them
}

// Run plays and checks. The error is for runs in which not everybody could join. The end of ctx ends
// the run at once: the result is partial, without a verdict.
func (f Fanout) Run(ctx context.Context) (*Result, error) {
	f, err := f.complete()
	if err != nil {
		return nil, err
	}
	if f.Target.Servers, err = f.Target.Servers.reach(ctx); err != nil {
		return nil, err
	}
	joining := time.Duration(f.Viewers) * time.Second / time.Duration(f.JoinRate)
	if err := f.Target.checkTokens(f.Viewers, time.Now().Add(joining+f.For)); err != nil {
		return nil, err
	}
	begin := time.Now()
	r, err := f.newRun(NewMeter(begin))
	if err != nil {
		return nil, err
	}
	steps, team := r.steps(), (*fanoutTeam)(nil)
	if f.Agents.Count != 0 {
		var stop func()
		if team, stop, err = r.byAgents(ctx); err != nil {
			return nil, err
		}
		defer stop()
		steps = team.steps()
	} else if err := r.enter(); err != nil {
		return nil, err
	}
	result := &Result{Scenario: "fanout", Viewers: f.Viewers, Environment: describe(ctx, f.Target), Checks: []Check{}}
	if f.Idle {
		result.Scenario = "idle"
	}
	watching, stop := context.WithCancel(ctx)
	marks := make(chan []Mark, 1)
	go func() { marks <- f.Target.Servers.watch(watching, r.meter) }() // ends with stop; its marks are awaited
	told := make(chan struct{})
	go func() { // ends with stop and is awaited
		defer close(told)
		if f.Progress != nil {
			r.tell(watching, team)
		}
	}()
	at, err := r.play(ctx, steps)
	stop()
	result.Marks = <-marks
	<-told
	closing := error(nil)
	if team != nil {
		closing = team.fetch(ctx)
		result.Environment.Agents = team.machines
	} else {
		closing = r.swarm.Close()
	}
	if err == nil && closing != nil {
		at, err = "gathering", closing
	}
	switch {
	case ctx.Err() != nil:
		result.Partial = "the run was interrupted while " + at
	case err != nil && (team == nil || at == steps[0].name):
		return nil, fmt.Errorf("%s: %w", at, err)
	case err != nil:
		result.Invalid = append(team.late, fmt.Sprintf("%s: %v", at, err))
	case team != nil:
		result.Checks = r.checks()
		result.Invalid = team.late
	default:
		result.Checks = r.checks()
		result.Invalid = r.invalid()
	}
	result.Seconds = time.Since(begin).Seconds()
	result.measure(r.meter)
	result.Figures = r.figures()
	result.Rates = append(result.Rates, r.rates()...)
	result.judge(f.Thresholds)
	return result, nil
}

// complete fills in the defaults and says what makes no run.
func (f Fanout) complete() (Fanout, error) {
	var err error
	if f.Target, err = f.Target.prepare(); err != nil {
		return f, err
	}
	f.Viewers, f.Rate = cmp.Or(f.Viewers, 1000), cmp.Or(f.Rate, 50)
	f.MessageBytes, f.JoinRate = cmp.Or(f.MessageBytes, 200), cmp.Or(f.JoinRate, 500)
	f.tag = cmp.Or(f.tag, rand.Text()[:8])
	f.For, f.news = cmp.Or(f.For, 30*time.Second), cmp.Or(f.news, 10*time.Second)
	switch {
	case f.Viewers < 1 || f.Viewers > maxViewers:
		return f, fmt.Errorf("fanout has 1 to %d viewers, not %d", maxViewers, f.Viewers)
	case f.Rate < 1 || f.Rate > 1000:
		return f, fmt.Errorf("the rate is 1 to 1000 comments a second, not %d", f.Rate)
	case f.MessageBytes < 32 || f.MessageBytes > maxMessage:
		return f, fmt.Errorf("a comment has 32 to %d bytes, not %d", maxMessage, f.MessageBytes)
	case f.Agents.Count != 0 && f.Agents.check(f.Viewers) != nil:
		return f, f.Agents.check(f.Viewers)
	case f.JoinRate < 1 || f.JoinRate > 10000:
		return f, fmt.Errorf("1 to 10000 join a second, not %d", f.JoinRate)
	case f.For < time.Second || f.For > maxLength:
		return f, fmt.Errorf("fanout takes 1 s to %v, not %v", maxLength, f.For)
	case !f.Idle && 3*f.Rate > 2*f.Viewers:
		return f, fmt.Errorf("a viewer may send 20 comments in 30 s: %d a second need at least %d viewers, not %d", f.Rate, (3*f.Rate+1)/2, f.Viewers)
	}
	return f, nil
}

// newRun returns the state of a run in which nobody has joined.
func (f Fanout) newRun(meter *Meter) (*fanoutRun, error) {
	r := &fanoutRun{Fanout: f, fanoutTally: newFanoutTally(f.tag, f.part.count(f.Viewers), meter)}
	if f.Agents.Count != 0 {
		return r, nil // they have the tokens
	}
	var err error
	r.tokens, err = f.Target.viewerTokens(f.tag, f.Viewers, f.part)
	return r, err
}

// enter makes ready for the viewers of this part.
func (r *fanoutRun) enter() (err error) {
	if u, err := lookAt(os.Getpid()); err == nil {
		r.alone = u.rss
	}
	r.swarm, err = NewSwarm(SwarmConfig{Viewers: len(r.tokens), OnFrame: r.frame, OnEnd: r.end, Goroutines: r.Target.secure()})
	return err
}

// steps are those of a run in which this process holds everybody.
func (r *fanoutRun) steps() []step {
	now := func(run func(context.Context, time.Time) error) func(context.Context) error {
		return func(ctx context.Context) error { return run(ctx, time.Now()) }
	}
	return []step{{"joining", now(r.join)}, {r.measuring(), now(r.measured)}, {"settling", r.settle}}
}

// measuring names the step that the run is about.
func (r *fanoutRun) measuring() string {
	if r.Idle {
		return "idling"
	}
	return "sending comments"
}

// play goes through the steps and names the last one that it began.
func (r *fanoutRun) play(ctx context.Context, steps []step) (at string, err error) {
	for _, step := range steps {
		r.phase.Store(step.name)
		if err := step.run(ctx); err != nil || ctx.Err() != nil {
			return step.name, errors.Join(err, ctx.Err())
		}
	}
	return "", nil
}

// evenly is n arrivals of one kind, rate a second, viewers taking turns.
func evenly(kind Kind, n, rate, viewers int) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for i := range n {
			if !yield(Arrival{At: nth(i, rate), Viewer: uint32(i % viewers), Kind: kind, Number: int64(i + 1)}) {
				return
			}
		}
	}
}

// nth is when arrival number i comes.
func nth(i, rate int) time.Duration { return time.Duration(i) * time.Second / time.Duration(rate) }

// join has the viewers of this part join, each at its time after begin.
func (r *fanoutRun) join(ctx context.Context, begin time.Time) error {
	outcomes := make(chan error, len(r.tokens))
	arrivals := r.part.arrivals(evenly(KindJoin, r.Viewers, r.JoinRate, r.Viewers), func(Arrival) {})
	err := NewPacer(begin, r.meter).Run(ctx, arrivals, func(a Arrival, due time.Time) {
		i, own := int(a.Viewer), r.part.index(a.Viewer)
		r.meter.Count("sent.join", 1)
		// Turns over formats go at half the pace of turns over gateways, so that every pair occurs.
		format := proto.Format(i / len(r.Target.Gateways) % proto.Formats)
		cfg := ViewerConfig{URL: r.Target.socketURL(i), TLS: r.Target.tls, Token: r.tokens[own].text, Format: format}
		r.swarm.Join(own, cfg, func(_ *proto.SessionWelcome, err error) {
			if err == nil {
				r.meter.Time("join", time.Since(due))
				r.joined()
			}
			outcomes <- err
		})
	})
	if err != nil {
		return err
	}
	for range r.tokens {
		select {
		case err := <-outcomes:
			if err != nil {
				r.meter.Count("join_failed", 1)
				r.failed++
				r.refusal = cmp.Or(r.refusal, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.failed > 0 {
		return fmt.Errorf("%d of %d viewers could not join, the first: %w", r.failed, len(r.tokens), r.refusal)
	}
	return nil
}

// measured is the time that the run is about.
func (r *fanoutRun) measured(ctx context.Context, begin time.Time) error {
	r.begin.Store(&begin) // before anybody, here or elsewhere, sends a comment
	pause(ctx, time.Until(begin))
	before, beforeErr := lookAt(os.Getpid())
	delivered := r.meter.Total("delivered")
	if !r.Idle {
		n := int(r.For * time.Duration(r.Rate) / time.Second)
		padding := strings.Repeat("x", r.MessageBytes)
		arrivals := r.part.arrivals(evenly(KindComment, n, r.Rate, r.Viewers), func(Arrival) {})
		err := NewPacer(begin, r.meter).Run(ctx, arrivals, func(a Arrival, due time.Time) {
			r.meter.Count("sent.comment", 1)
			r.sent.Add(1)
			r.say(r.part.index(a.Viewer), (r.text(int(a.Number-1)) + padding)[:r.MessageBytes], due)
		})
		if err != nil {
			return err
		}
	}
	pause(ctx, time.Until(begin.Add(r.For)))
	r.lasted, r.during = time.Since(begin), r.meter.Total("delivered")-delivered
	if after, err := lookAt(os.Getpid()); err == nil && beforeErr == nil {
		r.used = usage{cpu: after.cpu - before.cpu, rss: after.rss}
	}
	return ctx.Err()
}

// say sends one comment.
func (r *fanoutRun) say(i int, text string, due time.Time) {
	cmd := &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}}
	r.swarm.Send(i, cmd, func(reply *proto.Reply, err error) {
		switch {
		case err != nil:
			r.open.Add(1)
		case reply.GetError() != nil:
			r.meter.Count("refused.chat_send."+reply.GetError().Reason, 1)
		default:
			r.accepted.Add(1)
			r.meter.Count("ok.chat_send", 1)
		}
		if err == nil {
			r.meter.Time("reply.chat_send", time.Since(due))
		}
		r.answered.Add(1)
	})
}

// settle waits until every comment has an outcome and everybody has been told of those that were
// accepted; what is missing in the end, the check tells.
func (r *fanoutRun) settle(ctx context.Context) error {
	until(ctx, r.news, func() bool { return r.answered.Load() == r.sent.Load() && r.lost() == 0 })
	return ctx.Err()
}

// invalid says what makes the run tell nothing about the server.
func (r *fanoutRun) invalid() (why []string) {
	if err := punctual(r.meter, r.MostLate); err != nil {
		why = append(why, err.Error())
	}
	if n := r.strangers.Load(); n > 0 {
		why = append(why, fmt.Sprintf("comments of others came %d times: the accounting needs a room of its own", n))
	}
	if cores := r.cores(); cores > mostBusy*r.processors() {
		why = append(why, fmt.Sprintf("this program was the limit: it used %.1f of %.0f processors; take fewer viewers, or more machines", cores, r.processors()))
	}
	return why
}

// processors is how many this program may use.
func (r *fanoutRun) processors() float64 { return float64(runtime.GOMAXPROCS(0)) }

// cores is how many processors this program used while it was measured.
func (r *fanoutRun) cores() float64 {
	if r.lasted == 0 {
		return 0
	}
	return r.used.cpu / r.lasted.Seconds()
}

// rates are those of the measured time and of this program.
func (r *fanoutRun) rates() []Rate {
	if r.lasted == 0 {
		return nil
	}
	rates := []Rate{{"deliveries a second while measured", float64(r.during) / r.lasted.Seconds()}}
	if r.used.rss > 0 {
		rates = append(rates, Rate{"client processors used while measured", r.cores()}, Rate{"client memory, bytes", r.used.rss},
			Rate{"client memory a viewer, bytes", (r.used.rss - r.alone) / float64(r.Viewers)})
	}
	return rates
}

func (r *fanoutRun) progress() Progress {
	phase, _ := r.phase.Load().(string)
	return Progress{Phase: phase, Viewers: r.viewers(), Comments: r.sent.Load()}
}

// tell reports progress, that of agents where there are some, until ctx ends.
func (r *fanoutRun) tell(ctx context.Context, team *fanoutTeam) {
	for ctx.Err() == nil {
		p := r.progress()
		if team != nil {
			p.Viewers, p.Comments = team.team.progress().Viewers, team.team.progress().Comments
		}
		r.Progress(p)
		pause(ctx, 250*time.Millisecond)
	}
}
