package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"livecart/proto"
)

// ErrInvalid marks a run that says nothing about the server: the room was not as the scenario needs it.
var ErrInvalid = errors.New("the run is invalid")

// Smoke is the first scenario: a small room in which everything happens once. 200 viewers on all
// gateways and in both formats watch while comments, likes and gifts go round; gifts lose their
// replies and are sent again; then ten attempts go at each piece of a flash sale, some of them
// twice, and half of the buyers pay.
type Smoke struct {
	Target Target
	// Viewers is how many join; 200 when 0, at least 20. One in ten of them sends gifts and comes and
	// goes; the others stay and are compared with one another.
	Viewers int
	// Comments a second, 40 when 0, which is above what one viewer is shown by default; at most 1000.
	CommentRate int
	// Seconds of talk, 6 when 0.
	TalkSeconds int
	// Pieces of the sale, 50 when 0, at most one a viewer, for a buyer gets one only; and attempts
	// for each, 10 when 0.
	Pieces, AttemptsPerPiece int
	// Audit, if set, runs the server's own invariants and returns what is violated.
	Audit func(ctx context.Context) (violated []string, err error)
	// Recorder, if set, takes every command that moves money or stock, and its answer. The caller closes
	// it after the run.
	Recorder *Recorder
	// Thresholds are limits that the run must keep.
	Thresholds []Threshold
	// Progress, if set, is told several times a second how far the run is.
	Progress func(Progress)

	// How the run spends its time; defaultPace when zero.
	pace pace
}

// pace is how a run spends its time.
type pace struct {
	// How long the room must be without comments before the crowd comes.
	quiet time.Duration
	// Time over which the attempts at the sale are spread.
	rush time.Duration
	// How long news may take to reach everybody; what is missing then is lost.
	news time.Duration
	// How long one of the crowd asks again while there is no outcome; defaultPatience when zero.
	patience time.Duration
	// Connections beyond those that the schedule takes, for stays that a busy machine draws out.
	spare int
}

var defaultPace = pace{quiet: time.Second, rush: 2 * time.Second, news: 10 * time.Second}

// smokeRun is one run's state.
type smokeRun struct {
	Smoke
	front    *shopfront
	meter    *Meter
	host     *person
	crowd    *crowd
	watchers []*person
	gifters  []*person
	phase    atomic.Value                // string
	entered  chan struct{}               // a phase was; at most one word waits
	collect  func(context.Context) error // brings in what agents measured, however the run ended; nil without agents
	back     *comebacks                  // of those who lose their connection; nil where that is left to those who ask

	before      *proto.RoomStats // the room's counters when only the host had joined
	likesBefore int64
	likes       atomic.Int64
	paid        atomic.Int64
	attemptsN   atomic.Int64

	mu       sync.Mutex
	comments map[string]bool // ids of accepted comments
	unsure   map[string]bool // request_ids of commands that were sent again, as nobody knew their outcome
	doubtful map[string]bool // ids of comments whose first sending had no outcome
	doubts   int64           // likes of such a kind
	tips     []tipRecord
	attempts []attemptRecord
	payers   int      // buyers who were to pay
	broken   []string // outcomes that changed when asked again

	sale  *proto.FlashSale
	ended bool // the sale, by the host

	// What is wrong with orders and balances when their owners ask for them.
	wrongOrders, wrongBalances func(context.Context) []string
}

// beansEach is what each gifter tops up: an amount that is whole in money, 7 beans a yuan.
const beansEach = 700

// tidying is how long putting the room back as it was may take after an interruption.
const tidying = 3 * time.Second

// leftAlone is how long a room may take to tell that nobody but the host is there.
const leftAlone = 3 * time.Second

// giftsEach is how many gifts each gifter sends.
const giftsEach = 6

// Run plays the scenario and checks. The error is for runs in which nobody could join; a server that
// failed its checks is told by the result, and so is a run that could not be played to its end.
//
// The end of ctx ends the run at once: the result is partial, without a verdict.
func (s Smoke) Run(ctx context.Context) (*Result, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	if err := probeDatabase(ctx, s.Target); err != nil {
		return nil, err
	}
	if s.Target.Servers, err = s.Target.Servers.reach(ctx); err != nil {
		return nil, err
	}
	r := newSmokeRun(s)
	result, err := r.conduct(ctx, "smoke", []step{
		{"joining", r.join},
		{"topping up", r.topUp},
		{"talking", r.talk},
		{"settling", r.settle},
		{"selling", r.sell},
		{"paying", r.pay},
		{"stopping the sale", r.stop},
	}, r.checks)
	if err != nil {
		return nil, err
	}
	result.judge(s.Thresholds)
	return result, nil
}

func newSmokeRun(s Smoke) *smokeRun {
	r := &smokeRun{Smoke: s, front: newShopfront(s.Target), meter: NewMeter(time.Now()), entered: make(chan struct{}, 1), comments: map[string]bool{}}
	r.wrongOrders, r.wrongBalances = r.askOrders, r.askBalances
	return r
}

// step is one part of a run.
type step struct {
	name string
	run  func(context.Context) error
}

// conduct goes through the steps and then the checks, and returns what was measured, not judged yet.
func (r *smokeRun) conduct(ctx context.Context, scenario string, steps []step, checks func(context.Context) []Check) (*Result, error) {
	begin := r.meter.begin
	result := &Result{Scenario: scenario, Viewers: r.Viewers, Environment: describe(ctx, r.Target)}
	stopProgress := r.reportProgress(ctx)
	defer stopProgress()
	defer r.end()
	defer r.abandonSale(ctx)
	stopWatching := r.watchServers(ctx)
	at, err := r.play(ctx, steps)
	if r.collect != nil {
		// What ended the run is why reports are missing, too.
		if missing := r.collect(ctx); err == nil && missing != nil {
			at, err = "gathering", missing
		}
	}
	if err == nil {
		at = "checking"
		r.enter(at)
		result.Checks = checks(ctx)
	}
	result.Marks = stopWatching()
	switch {
	case ctx.Err() != nil:
		// What stopped a step half way is no finding.
		result.Partial, result.Checks = "the run was interrupted while "+at, nil
	case err != nil && r.crowd == nil:
		return nil, fmt.Errorf("%s: %w", at, err)
	case err != nil:
		result.Invalid = append(result.Invalid, fmt.Sprintf("%s: %v", at, err))
	}
	if r.crowd != nil {
		result.Figures = r.figures()
	}
	result.Seconds = time.Since(begin).Seconds()
	result.measure(r.meter)
	return result, nil
}

// play goes through the steps, and names the last one that it began.
func (r *smokeRun) play(ctx context.Context, steps []step) (at string, err error) {
	for _, step := range steps {
		r.enter(step.name)
		if err := step.run(ctx); err != nil || ctx.Err() != nil {
			return step.name, errors.Join(err, ctx.Err())
		}
	}
	return "", nil
}

// watchServers watches them until stop is called, which waits and returns what happened to them.
func (r *smokeRun) watchServers(ctx context.Context) (stop func() []Mark) {
	ctx, cancel := context.WithCancel(ctx)
	marks := make(chan []Mark, 1)
	go func() { marks <- r.Target.Servers.watch(ctx, r.meter) }() // ends with stop, which waits for it
	return func() []Mark {
		cancel()
		return <-marks
	}
}

// complete fills in the defaults and says what makes no run.
func (s Smoke) complete() (Smoke, error) {
	var err error
	if s.Target, err = s.Target.prepare(); err != nil {
		return s, err
	}
	if s.Target.HostToken == "" {
		return s, errors.New("target: smoke steers the room and needs a host's token")
	}
	s.Viewers = cmp.Or(s.Viewers, 200)
	s.CommentRate = cmp.Or(s.CommentRate, 40)
	s.TalkSeconds = cmp.Or(s.TalkSeconds, 6)
	s.Pieces = cmp.Or(s.Pieces, 50)
	s.AttemptsPerPiece = cmp.Or(s.AttemptsPerPiece, 10)
	s.pace = cmp.Or(s.pace, defaultPace)
	switch {
	case s.Viewers < 20:
		return s, fmt.Errorf("smoke needs at least 20 viewers, not %d", s.Viewers)
	case s.CommentRate < 1 || s.CommentRate > 1000:
		return s, fmt.Errorf("the comment rate is 1 to 1000 a second, not %d", s.CommentRate)
	case s.TalkSeconds < 1:
		return s, fmt.Errorf("the talk takes at least 1 second, not %d", s.TalkSeconds)
	case s.Pieces < 1 || s.Pieces > s.Viewers:
		return s, fmt.Errorf("a buyer gets one piece: %d viewers can buy 1 to %d, not %d", s.Viewers, s.Viewers, s.Pieces)
	case s.AttemptsPerPiece < 1:
		return s, fmt.Errorf("a piece needs at least 1 attempt, not %d", s.AttemptsPerPiece)
	}
	return s, nil
}

func (r *smokeRun) end() {
	if r.back != nil {
		r.back.close() // so that nobody comes after the others have left
	}
	if r.crowd != nil {
		r.crowd.leave()
	}
	if r.host != nil {
		r.host.leave()
	}
	r.front.close()
}

func (r *smokeRun) join(ctx context.Context) error {
	if err := r.open(ctx, r.Viewers); err != nil {
		return err
	}
	gifters := r.Viewers / 10
	r.gifters, r.watchers = r.crowd.people[:gifters], r.crowd.people[gifters:]
	for _, p := range r.gifters {
		p.funds = beansEach
	}
	return nil
}

// open joins the host and n people to a room that must be live and quiet.
func (r *smokeRun) open(ctx context.Context, n int) error {
	if err := r.openHost(ctx); err != nil {
		return err
	}
	tokens, err := r.Target.viewerTokens(rand.Text()[:8], n, part{})
	if err != nil {
		return err
	}
	r.crowd, err = gather(ctx, r.Target, tokens, r.Recorder, r.meter, r.back)
	if err != nil {
		return err
	}
	for _, p := range r.crowd.people {
		p.patience = cmp.Or(r.pace.patience, defaultPatience)
	}
	return r.awaitStats(ctx)
}

// openHost joins the host to a room that must be live and quiet.
func (r *smokeRun) openHost(ctx context.Context) error {
	r.host = newPerson(r.Target, "the host", r.Target.HostToken, proto.JSON, NewMeter(time.Now()))
	if r.back != nil {
		r.back.adopt(r.Viewers, r.host)
	}
	if err := r.host.join(ctx); err != nil {
		return err
	}
	if phase := r.host.current().Welcome().GetRoom().GetPhase(); phase != proto.RoomPhase_ROOM_PHASE_LIVE {
		return fmt.Errorf("%w: the room is %v, not live", ErrInvalid, phase)
	}
	pause(ctx, r.pace.quiet)
	if n := r.host.history.told(); n > 0 {
		return fmt.Errorf("%w: %d comments of others came within %v, and the accounting needs a room of its own", ErrInvalid, n, r.pace.quiet)
	}
	// What goes beyond the host are people who are there anyway, or of an earlier run and about to be gone.
	until(ctx, min(leftAlone, r.pace.news), func() bool { return r.host.history.counters().Online == 1 })
	r.before = r.host.history.counters()
	return nil
}

// awaitStats waits for the counters of the room, which settle within a few seconds of the last join.
func (r *smokeRun) awaitStats(ctx context.Context) error {
	if !until(ctx, r.pace.news, func() bool { return r.host.history.saw("room_stats") }) {
		return fmt.Errorf("no room_stats came in %v", r.pace.news)
	}
	r.likesBefore = r.host.history.likes()
	return nil
}

func (r *smokeRun) topUp(ctx context.Context) error {
	return each(ctx, joining, r.gifters, func(ctx context.Context, p *person) error {
		if err := r.front.topUp(ctx, p.token, p.funds); err != nil {
			return err
		}
		ok := until(ctx, 15*time.Second, func() bool { return p.history.beans() >= p.funds })
		if !ok && ctx.Err() == nil {
			return fmt.Errorf("%s paid for %d beans and was not told of them in 15 s", p.id, p.funds)
		}
		return ctx.Err()
	})
}
