package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"livecart/proto"
)

// Play plays a scenario's plan: regulars are in the room all the time and keep full histories, everybody
// else comes, acts and goes as the schedule says, whatever the server does.
type Play struct {
	Plan   Plan
	Seed   uint64
	Target Target
	// MostLate is how late 99 of 100 arrivals may be handed out at most in a valid run; 50 ms when 0.
	MostLate   time.Duration
	Thresholds []Threshold
	// Audit, Recorder and Progress are as in [Smoke].
	Audit    func(ctx context.Context) (violated []string, err error)
	Recorder *Recorder
	Progress func(Progress)

	// Agents play the viewers in place of this process, where their Count is above 0.
	Agents Agents

	// How the run spends its time beside the stages; defaultPace when zero.
	pace pace
	// What this process plays of the run, and a word that all processes of the run share; one of chance
	// when empty.
	part part
	tag  string
}

// playRun is one run's state.
type playRun struct {
	*smokeRun
	Play
	key      []byte // that tokens are signed with; nil where all are given
	visitors *visitors
	acting   sync.WaitGroup // commands of regulars under way
	giftID   string
	price    int64
	shelf    []string       // products that the host shows, by turns
	done     map[string]int // moves of the host by name, guarded by mu
	reached  int64          // numbered event that everybody was to be told of
	// Commands whose outcome nobody knows.
	unknown complaints
	refused atomic.Int64
	faults  faultRun
}

// Run plays the plan and checks. The error is for runs in which nobody could join; otherwise the result
// tells, as that of [Smoke.Run] does.
func (p Play) Run(ctx context.Context) (*Result, error) {
	var err error
	if p.Target, err = p.Target.prepare(); err != nil {
		return nil, err
	}
	if p.Target.HostToken == "" {
		return nil, errors.New("target: a host's token is needed")
	}
	key, err := p.signingKey()
	if err != nil {
		return nil, err
	}
	if err := probeDatabase(ctx, p.Target); err != nil {
		return nil, err
	}
	servers, err := p.Target.Servers.reach(ctx)
	if err != nil {
		return nil, err
	}
	p.Target.Servers = servers
	if err := p.Target.checkFaults(p.Plan.Faults); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", p.Plan.Name, err)
	}
	r, run := p.newRun(key), (*playRun).runHere
	if p.Agents.Count != 0 {
		if err := p.checkAgents(); err != nil {
			return nil, err
		}
		run = (*playRun).runByAgents
	}
	result, err := run(r, ctx)
	if err != nil {
		return nil, err
	}
	result.Figures = append(result.Figures, Figure{"seed", int64(p.Seed)}, Figure{"refused", r.refused.Load()})
	if r.visitors != nil {
		result.Figures = append(result.Figures, Figure{"resumed", r.visitors.resumed.count()})
	}
	result.judge(p.Thresholds)
	return result, nil
}

// newRun returns the state of a run that has not begun.
func (p Play) newRun(key []byte) *playRun {
	p.Target.life = p.Plan.Length() + tokenLife
	p.pace, p.tag = cmp.Or(p.pace, defaultPace), cmp.Or(p.tag, rand.Text()[:8])
	return &playRun{Play: p, key: key, done: map[string]int{}, smokeRun: newSmokeRun(Smoke{
		Target: p.Target, Viewers: p.Plan.Viewers, Pieces: p.Plan.Pieces, Audit: p.Audit, Recorder: p.Recorder, Progress: p.Progress, pace: p.pace,
	})}
}

// runHere is Run where this process plays everybody.
func (r *playRun) runHere(ctx context.Context) (*Result, error) {
	if r.Plan.Reconnect {
		r.back = newComebacks(ctx, retries{r.Plan.Within, r.Seed})
	}
	defer r.endPlay(ctx)
	result, err := r.conduct(ctx, r.Plan.Name, []step{
		{"joining", r.open},
		{"topping up", r.fund},
		{"playing", r.act},
		{"settling", r.settle},
		{"paying", r.sold},
		{"counting", r.count},
	}, r.checks)
	if err != nil {
		return nil, err
	}
	if err := punctual(r.meter, r.MostLate); err != nil {
		result.Invalid = append(result.Invalid, err.Error())
	}
	r.faults.tell(result)
	return result, nil
}

// signingKey returns what tokens are made with for those who come and go, nil where there is a token for
// each of them.
func (p Play) signingKey() ([]byte, error) {
	switch {
	case p.Target.JWTKeyFile == "" && len(p.Target.ViewerTokens) == 0:
		return nil, errors.New("target: a token for each who comes is needed, or a key to sign them with")
	case len(p.Target.ViewerTokens) > 0:
		if err := p.Target.checkTokens(p.Plan.Users(p.Seed), time.Now().Add(p.Plan.Length())); err != nil {
			return nil, err
		}
	}
	return p.Target.secret()
}

// endPlay ends what a step that failed left open; conduct has ended the rest.
func (r *playRun) endPlay(ctx context.Context) {
	r.acting.Wait()
	if r.visitors != nil {
		r.visitors.close(ctx)
	}
}

// open joins the regulars.
func (r *playRun) open(ctx context.Context) error {
	if err := r.openHost(ctx); err != nil {
		return err
	}
	if err := r.canShow(); err != nil {
		return err
	}
	if err := r.gather(ctx); err != nil {
		return err
	}
	return r.awaitStats(ctx)
}

// canShow says where the host has nothing to show that should be shown.
func (r *playRun) canShow() error {
	if r.Plan.Host.Pushes > 0 && len(onSale(r.host.current().Welcome())) == 0 {
		return fmt.Errorf("%w: no product of the room's shelf is on sale, the host has nothing to show", ErrInvalid)
	}
	return nil
}

// gather joins the regulars of this part and makes room for those who come and go.
func (r *playRun) gather(ctx context.Context) error {
	tokens, err := r.Target.viewerTokens(r.tag+"-regular", r.Plan.Regulars, r.part)
	if err != nil {
		return err
	}
	if r.crowd, err = gather(ctx, r.Target, tokens, r.Recorder, r.meter, r.back); err != nil {
		return err
	}
	givers := r.part.count(r.Plan.Givers)
	r.watchers, r.gifters = r.crowd.people, r.crowd.people[:givers]
	if r.Plan.LostReplies > 0 {
		r.watchers = r.watchers[givers:]
	}
	var back *retries
	if r.back != nil {
		back = &r.back.retries
	}
	r.visitors, err = newVisitors(r.Target, r.Plan.mostOf(r.part)+r.pace.spare, r.key, r.tag, r.Plan.Returns > 0, back, r.crowd.audience)
	if err == nil {
		r.visitors.slow = r.Plan.Slow
		r.doubt()
	}
	if len(r.crowd.people) > 0 {
		r.shelf = onSale(r.crowd.people[0].current().Welcome())
	}
	return err
}

// person returns a regular of this part.
func (r *playRun) person(viewer uint32) *person { return r.crowd.people[r.part.index(viewer)] }

// fund tops up what each giver will send: the schedule tells before the run.
func (r *playRun) fund(ctx context.Context) error {
	if len(r.gifters) == 0 {
		return nil
	}
	var err error
	if r.giftID, r.price, err = r.front.cheapestGift(ctx); err != nil {
		return err
	}
	for a := range NewSchedule(r.Plan, r.Seed).All() {
		if a.Kind == KindGift && r.part.has(a.Viewer) {
			r.person(a.Viewer).funds += r.price
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var givers []*person
	for _, p := range r.gifters {
		// An amount that is whole in money, which is also what a giver without gifts has.
		p.funds = (p.funds/beansEach + 1) * beansEach
		givers = append(givers, p)
	}
	r.gifters = givers
	return r.topUp(ctx)
}

// announce is the time in which the host's announcement of the sale must be done before the begin.
const announce = time.Second

// sold has the buyers pay and the host stop the sale.
func (r *playRun) sold(ctx context.Context) error {
	if r.Plan.Pieces == 0 {
		return nil
	}
	if err := r.payShare(ctx, 1-r.Plan.Sale.Unpaid); err != nil {
		return err
	}
	err := r.stop(ctx)
	r.catchUp(ctx)
	return err
}

// buy lets a buyer go at the sale.
func (r *playRun) buy(ctx context.Context, a Arrival, due time.Time, again int) {
	r.meter.Count("sent."+a.Kind.String(), 1)
	p := r.person(a.Viewer)
	r.acting.Go(func() { // ends with the outcome
		if err := r.attempt(ctx, p, due, again); err != nil && ctx.Err() == nil {
			r.unknown.add("%v of %s: %v", a.Kind, p.id, err)
		}
	})
}

// act starts the sale and hands out the schedule.
func (r *playRun) act(ctx context.Context) error {
	begin := time.Now()
	if r.Plan.Pieces > 0 {
		begin = begin.Add(announce)
		if err := r.startSale(ctx, begin.Add(r.Plan.Sale.At)); err != nil {
			return err
		}
	}
	r.faults.begin(ctx, r, begin)
	r.acting.Go(func() { r.steer(ctx, begin) }) // ends with the schedule and what came of it
	err := r.hand(ctx, begin)
	return errors.Join(err, r.visitors.close(ctx))
}

// hand hands out this part of the schedule and waits for what came of it. Those who came stay.
func (r *playRun) hand(ctx context.Context, begin time.Time) error {
	arrivals := r.part.arrivals(NewSchedule(r.Plan, r.Seed).All(), func(a Arrival) { r.expect(a, begin.Add(a.At)) })
	err := NewPacer(begin, r.meter).Run(ctx, arrivals, func(a Arrival, due time.Time) {
		switch a.Kind {
		case KindJoin:
			r.meter.Count("sent.join", 1)
			r.visitors.join(a.Viewer, due)
		case KindLeave:
			r.meter.Count("sent.leave", 1)
			r.visitors.leave(a.Viewer)
		case KindComment:
			r.say(ctx, a, due)
		case KindLike:
			r.likeOnce(ctx, a, due)
		case KindGift:
			r.give(ctx, a, due)
		case KindAttempt:
			r.buy(ctx, a, due, r.Plan.Sale.Retries)
		case KindBotAttempt:
			r.buy(ctx, a, begin.Add(r.Plan.Sale.At), 0) // before the start there is nothing to wait for
		}
	})
	r.acting.Wait()
	r.faults.wait()
	r.recover(ctx)
	return err
}

// settle waits until everybody who stays has been told everything, a while at most: what is missing then,
// the checks tell.
func (r *playRun) settle(ctx context.Context) error {
	err := r.smokeRun.settle(ctx)
	r.catchUp(ctx)
	return err
}

// catchUp waits, a while at most, until everybody who stays was told of every numbered event that there is.
func (r *playRun) catchUp(ctx context.Context) {
	until(ctx, r.pace.news, func() bool {
		r.reached = r.head()
		for _, p := range r.following() {
			if p.history.last() < r.reached {
				return false
			}
		}
		return true
	})
}

// expect notes when a comment, gift or move of the host is due, whichever process sends it, for those who
// get it.
func (r *playRun) expect(a Arrival, due time.Time) {
	switch a.Kind {
	case KindComment:
		r.crowd.audience.say(r.text(a), due)
	case KindGift:
		r.crowd.audience.say(r.combo(a), due)
	case KindPush:
		r.crowd.audience.say(pushed(r.shelf, int(a.Number)), due)
	case KindSettings:
		r.crowd.audience.say(changed(r.tag, int(a.Number)), due)
	}
}

// text is that of a comment, and combo the id of the combo of a gift. No other has it.
func (r *playRun) text(a Arrival) string {
	text := fmt.Sprintf("%s %d ", r.tag, a.Number)
	return text + strings.Repeat("x", max(r.Plan.MessageBytes-len(text), 1))
}

func (r *playRun) combo(a Arrival) string { return fmt.Sprintf("%s-%d", r.tag, a.Number) }

// say sends a comment.
func (r *playRun) say(ctx context.Context, a Arrival, due time.Time) {
	text := r.text(a)
	cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}}
	r.send(ctx, a, cmd, due, func(reply *proto.Reply) {
		r.mu.Lock()
		defer r.mu.Unlock()
		id := reply.GetOk().GetChatMessage().GetId()
		r.comments[id] = true
		if r.unsure[cmd.RequestId] {
			r.doubtful[id] = true
		}
	})
}

func (r *playRun) likeOnce(ctx context.Context, a Arrival, due time.Time) {
	cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: 1}}}
	r.send(ctx, a, cmd, due, func(reply *proto.Reply) {
		r.likes.Add(1)
		r.crowd.audience.likes.liked(reply.GetOk().GetLikeTotal().GetTotal(), due)
	})
}

// send lets a viewer ask, and calls ok with the reply when it was done.
func (r *playRun) send(ctx context.Context, a Arrival, cmd *proto.Command, due time.Time, ok func(*proto.Reply)) {
	done := func(reply *proto.Reply, err error) {
		switch {
		case ctx.Err() != nil: // the end of the run is no outcome
		case err != nil:
			r.unknown.add("%v of viewer %d: %v", a.Kind, a.Viewer, err)
		case reply.GetOk() == nil:
			r.refused.Add(1)
		default:
			ok(reply)
		}
	}
	if a.Viewer >= uint32(r.Plan.Regulars) {
		if r.visitors.send(a.Viewer, cmd, due, done) {
			r.meter.Count("sent."+a.Kind.String(), 1)
		}
		return
	}
	r.meter.Count("sent."+a.Kind.String(), 1)
	p := r.person(a.Viewer)
	r.acting.Go(func() { done(p.askSince(ctx, cmd, due)) }) // ends with the outcome
}

// give sends a gift, a combo of its own.
func (r *playRun) give(ctx context.Context, a Arrival, due time.Time) {
	p, combo := r.person(a.Viewer), r.combo(a)
	cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: r.giftID, Count: 1, ComboId: combo}}}
	r.meter.Count("sent.gift", 1)
	repeat, cut := isPart(a.Number, r.Plan.Repeats), isPart(a.Number, r.Plan.LostReplies)
	r.acting.Go(func() { // ends with the outcome
		if cut {
			v := p.current()
			p.note(cmd, time.Now(), nil)
			v.Send(cmd) // whatever came of it, ask finds out on a new connection
			v.Cut()
		}
		reply, err := p.askSince(ctx, cmd, due)
		if repeat && err == nil {
			var second *proto.Reply
			if second, err = p.ask(ctx, cmd); err == nil {
				if a, b := giftOutcome(reply), giftOutcome(second); a != b {
					r.note("gift_send %s was %s and then %s", cmd.RequestId, a, b)
				}
			}
		}
		switch sent := reply.GetOk().GetGiftSent(); {
		case ctx.Err() != nil:
		case err != nil:
			r.unknown.add("gift of %s: %v", p.id, err)
		case sent == nil:
			r.refused.Add(1)
		default:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.tips = append(r.tips, tipRecord{sender: p, key: cmd.RequestId, beans: r.price, tipIDs: sent.TipIds})
		}
	})
}

// isPart picks a part of everything that is numbered from 1, evenly.
func isPart(n int64, part float64) bool { return int64(float64(n)*part) != int64(float64(n-1)*part) }

// giftOutcome names the tips or the refusal of a reply.
func giftOutcome(reply *proto.Reply) string {
	if ids := reply.GetOk().GetGiftSent().GetTipIds(); len(ids) > 0 {
		return "tip " + strings.Join(ids, ", ")
	}
	return outcome(reply)
}
