package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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
	// Comments a second, 40 when 0, which is above what one viewer is shown by default.
	CommentRate int
	// Seconds of talk, 6 when 0.
	TalkSeconds int
	// Pieces of the sale, 50 when 0, and attempts for each, 10 when 0.
	Pieces, AttemptsPerPiece int
	// Audit, if set, runs the server's own invariants and returns what is violated.
	Audit func(ctx context.Context) (violated []string, err error)
	// Progress, if set, is told several times a second how far the run is.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Phase                              string
	Viewers, Comments, Likes, Gifts    int64
	Attempts, Ordered, Paid, Reconnect int64
}

// smokeRun is one run's state.
type smokeRun struct {
	Smoke
	front    *shopfront
	host     *person
	crowd    *crowd
	watchers []*person
	gifters  []*person
	phase    atomic.Value // string

	likesBefore int64
	likes       atomic.Int64
	paid        atomic.Int64
	attemptsN   atomic.Int64

	mu       sync.Mutex
	comments map[string]bool // ids of accepted comments
	tips     []tipRecord
	attempts []attemptRecord
	broken   []string // outcomes that changed when asked again

	sale *proto.FlashSale
}

// tipRecord is an acknowledged gift.
type tipRecord struct {
	sender *person
	key    string
	beans  int64
	tipIDs []string
}

// attemptRecord is the outcome of one attempt at the sale.
type attemptRecord struct {
	buyer   *person
	key     string
	reason  proto.Reason // "" with an order
	orderID string
	paid    bool
}

// beansEach is what each gifter tops up: an amount that is whole in money, 7 beans a yuan.
const beansEach = 700

// giftsEach is how many gifts each gifter sends.
const giftsEach = 6

// Run plays the scenario and checks. The error is for runs that could not be played; a server that
// failed its checks is told by the result.
func (s Smoke) Run(ctx context.Context) (*Result, error) {
	if err := s.Target.check(); err != nil {
		return nil, err
	}
	if s.Target.HostToken == "" {
		return nil, errors.New("target: smoke steers the room and needs a host's token")
	}
	s.Viewers = cmp.Or(s.Viewers, 200)
	s.CommentRate = cmp.Or(s.CommentRate, 40)
	s.TalkSeconds = cmp.Or(s.TalkSeconds, 6)
	s.Pieces = cmp.Or(s.Pieces, 50)
	s.AttemptsPerPiece = cmp.Or(s.AttemptsPerPiece, 10)
	if s.Viewers < 20 {
		return nil, fmt.Errorf("smoke needs at least 20 viewers, not %d", s.Viewers)
	}
	r := &smokeRun{Smoke: s, front: newShopfront(s.Target), comments: map[string]bool{}}
	begin := time.Now()
	stopProgress := r.reportProgress(ctx)
	defer stopProgress()
	defer r.end()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"joining", r.join},
		{"topping up", r.topUp},
		{"talking", r.talk},
		{"settling", r.settle},
		{"selling", r.sell},
		{"paying", r.pay},
		{"stopping the sale", r.stop},
	} {
		r.phase.Store(step.name)
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	r.phase.Store("checking")
	result := &Result{Scenario: "smoke", Viewers: s.Viewers, Checks: r.checks(ctx), Latency: r.crowd.times.summary()}
	result.Figures = r.figures()
	result.Seconds = time.Since(begin).Seconds()
	result.judge()
	return result, nil
}

func (r *smokeRun) end() {
	if r.crowd != nil {
		r.crowd.leave()
	}
	if r.host != nil && r.host.viewer != nil {
		r.host.viewer.Close()
	}
}

// quiet is how long the room must be without comments before the crowd comes.
const quiet = time.Second

func (r *smokeRun) join(ctx context.Context) error {
	r.host = &person{target: r.Target, token: r.Target.HostToken, format: proto.JSON, times: newLatencies(), history: newHistory()}
	if err := r.host.join(ctx); err != nil {
		return err
	}
	if phase := r.host.viewer.Welcome().GetRoom().GetPhase(); phase != proto.RoomPhase_ROOM_PHASE_LIVE {
		return fmt.Errorf("%w: the room is %v, not live", ErrInvalid, phase)
	}
	pause(ctx, quiet)
	if n := r.host.history.told(); n > 0 {
		return fmt.Errorf("%w: %d comments of others came within %v, and the accounting needs a room of its own", ErrInvalid, n, quiet)
	}
	crowd, err := gather(ctx, r.Target, r.Viewers)
	if err != nil {
		return err
	}
	r.crowd = crowd
	gifters := r.Viewers / 10
	r.gifters, r.watchers = crowd.people[:gifters], crowd.people[gifters:]
	// The counters of the room settle within a few seconds of the last join.
	if !until(ctx, 10*time.Second, func() bool { return r.host.history.saw("room_stats") }) {
		return errors.New("no room_stats came in 10 s")
	}
	r.likesBefore = r.host.history.likes()
	return nil
}

func (r *smokeRun) topUp(ctx context.Context) error {
	return each(ctx, joining, r.gifters, func(ctx context.Context, p *person) error {
		if err := r.front.topUp(ctx, p.token, beansEach); err != nil {
			return err
		}
		ok := until(ctx, 15*time.Second, func() bool {
			p.history.mu.Lock()
			defer p.history.mu.Unlock()
			return p.history.balance.GetBalance() >= beansEach
		})
		if !ok && ctx.Err() == nil {
			return fmt.Errorf("%s paid for %d beans and was not told of them in 15 s", p.id, beansEach)
		}
		return ctx.Err()
	})
}

// talk lets comments, likes and gifts go round at once.
func (r *smokeRun) talk(ctx context.Context) error {
	giftID, price, err := r.front.cheapestGift(ctx)
	if err != nil {
		return err
	}
	if price*giftsEach > beansEach {
		return fmt.Errorf("%w: the cheapest gift costs %d beans", ErrInvalid, price)
	}
	group, ctx := errgroup.WithContext(ctx)
	n := r.CommentRate * r.TalkSeconds
	interval := time.Second / time.Duration(r.CommentRate)
	begin := time.Now()
	for i := range n {
		p := r.watchers[i%len(r.watchers)]
		at := begin.Add(time.Duration(i) * interval)
		group.Go(func() error {
			pause(ctx, time.Until(at))
			return r.comment(ctx, p, i)
		})
	}
	for i, p := range r.watchers {
		group.Go(func() error {
			pause(ctx, time.Duration(i)*time.Duration(r.TalkSeconds)*time.Second/time.Duration(len(r.watchers)))
			return r.like(ctx, p, int32(1+i%10))
		})
	}
	for _, p := range r.gifters {
		group.Go(func() error { return r.gifts(ctx, p, giftID, price) })
	}
	return group.Wait()
}

func (r *smokeRun) comment(ctx context.Context, p *person, i int) error {
	reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: fmt.Sprintf("comment %d of %s", i, p.id)}}})
	if err != nil {
		return err
	}
	id := reply.GetOk().GetChatMessage().GetId()
	if id == "" {
		return fmt.Errorf("comment %d of %s was refused: %v", i, p.id, reply.GetError())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.comments[id] = true
	return nil
}

func (r *smokeRun) like(ctx context.Context, p *person, count int32) error {
	reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: count}}})
	if err != nil {
		return err
	}
	if reply.GetOk() == nil {
		return fmt.Errorf("likes of %s were refused: %v", p.id, reply.GetError())
	}
	r.likes.Add(int64(count))
	return nil
}

// gifts sends one combo. Every second gift loses its reply with the connection, every third is asked
// for once more after its reply: the answer must be the same each time.
func (r *smokeRun) gifts(ctx context.Context, p *person, giftID string, price int64) error {
	combo := NewRequestID()
	for i := range giftsEach {
		cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: giftID, Count: 1, ComboId: combo}}}
		if i%2 == 1 {
			if err := p.viewer.Send(cmd); err == nil {
				err = p.rejoin(ctx)
				if err != nil {
					return err
				}
			}
		}
		reply, err := p.ask(ctx, cmd)
		if err != nil {
			return err
		}
		sent := reply.GetOk().GetGiftSent()
		if sent == nil {
			return fmt.Errorf("gift of %s was refused: %v", p.id, reply.GetError())
		}
		if i%3 == 2 {
			second, err := p.ask(ctx, cmd)
			if err != nil {
				return err
			}
			if got := second.GetOk().GetGiftSent(); fmt.Sprint(got.GetTipIds()) != fmt.Sprint(sent.TipIds) {
				r.note("gift_send %s was tip %v and then %v (%v)", cmd.RequestId, sent.TipIds, got.GetTipIds(), second.GetError())
			}
		}
		r.mu.Lock()
		r.tips = append(r.tips, tipRecord{sender: p, key: cmd.RequestId, beans: price, tipIDs: sent.TipIds})
		r.mu.Unlock()
		pause(ctx, jitter(time.Duration(r.TalkSeconds)*time.Second/giftsEach/2))
	}
	return nil
}

func (r *smokeRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, fmt.Sprintf(format, args...))
}

// settle waits until everybody has been told of every comment, at most ten seconds: what is missing
// then, the check tells.
func (r *smokeRun) settle(ctx context.Context) error {
	until(ctx, 10*time.Second, func() bool {
		for _, p := range r.watchers {
			if p.history.told() < len(r.comments) {
				return false
			}
		}
		return r.host.history.likes() >= r.likesBefore+r.likes.Load()
	})
	return ctx.Err()
}

func (r *smokeRun) sell(ctx context.Context) error {
	// The welcome is as old as the connection; a fresh one knows of other sales.
	if err := r.host.rejoin(ctx); err != nil {
		return err
	}
	listing, err := r.front.saleable(ctx, r.host.viewer.Welcome(), int64(r.Pieces))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	reply, err := r.host.ask(ctx, &proto.Command{Command: &proto.Command_FlashStart{FlashStart: &proto.FlashStart{
		ListingId: listing.Id, Price: listing.Price / 2, Quantity: int64(r.Pieces), PerBuyerLimit: 1, DurationMs: (10 * time.Minute).Milliseconds(),
	}}})
	if err != nil {
		return err
	}
	if r.sale = reply.GetOk().GetFlashSale(); r.sale == nil {
		return fmt.Errorf("flash_start was refused: %v", reply.GetError())
	}
	group, ctx := errgroup.WithContext(ctx)
	const rush = 2 * time.Second
	for i := range r.Pieces * r.AttemptsPerPiece {
		p := r.crowd.people[i%len(r.crowd.people)]
		delay := rand.N(rush)
		group.Go(func() error {
			pause(ctx, delay)
			return r.attempt(ctx, p, i%5 == 0)
		})
	}
	return group.Wait()
}

// attempt buys one piece under a key of its own; with twice set it asks again after the outcome.
func (r *smokeRun) attempt(ctx context.Context, p *person, twice bool) error {
	cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: r.sale.Id, Quantity: 1}}}
	first, err := p.ask(ctx, cmd)
	if err != nil {
		return err
	}
	if twice {
		second, err := p.ask(ctx, cmd)
		if err != nil {
			return err
		}
		if a, b := outcome(first), outcome(second); a != b {
			r.note("flash_buy %s was %s and then %s", cmd.RequestId, a, b)
		}
	}
	r.attemptsN.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, attemptRecord{
		buyer: p, key: cmd.RequestId, orderID: first.GetOk().GetOrder().GetId(), reason: proto.Reason(first.GetError().GetReason()),
	})
	return nil
}

// outcome names the order or the refusal of a reply.
func outcome(reply *proto.Reply) string {
	return cmp.Or(reply.GetOk().GetOrder().GetId(), reply.GetError().GetReason(), "nothing")
}

// pay lets every second buyer pay and waits until each is told.
func (r *smokeRun) pay(ctx context.Context) error {
	var payers []*attemptRecord
	for i := range r.attempts {
		if r.attempts[i].orderID != "" {
			payers = append(payers, &r.attempts[i])
		}
	}
	return each(ctx, 8, payers[:len(payers)/2], func(ctx context.Context, a *attemptRecord) error {
		reply, err := a.buyer.ask(ctx, &proto.Command{Command: &proto.Command_OrderPay{OrderPay: &proto.OrderPay{OrderId: a.orderID}}})
		if err != nil {
			return err
		}
		payment := reply.GetOk().GetPayment()
		if payment == nil {
			return fmt.Errorf("order_pay was refused: %v", reply.GetError())
		}
		if err := r.front.pay(ctx, payment.Url); err != nil {
			return err
		}
		a.paid = until(ctx, 15*time.Second, func() bool {
			return a.buyer.history.order(a.orderID).GetState() == proto.OrderState_ORDER_STATE_PAID
		})
		if a.paid {
			r.paid.Add(1)
		}
		return ctx.Err()
	})
}

func (r *smokeRun) stop(ctx context.Context) error {
	for range 5 {
		reply, err := r.host.ask(ctx, &proto.Command{Command: &proto.Command_FlashStop{FlashStop: &proto.FlashStop{SaleId: r.sale.Id, ExpectedVersion: r.sale.Version}}})
		if err != nil {
			return err
		}
		if sale := reply.GetOk().GetFlashSale(); sale != nil {
			r.sale = sale
			// The last numbered event has to reach everybody before gaps are looked for.
			until(ctx, 10*time.Second, func() bool {
				for _, p := range r.watchers {
					if !p.history.saw("flash_ended") {
						return false
					}
				}
				return true
			})
			return ctx.Err()
		}
		if proto.Reason(reply.GetError().GetReason()) != proto.ReasonVersionConflict {
			return fmt.Errorf("flash_stop was refused: %v", reply.GetError())
		}
		// Somebody edited it meanwhile: look again.
		if err := r.host.rejoin(ctx); err != nil {
			return err
		}
		for _, sale := range r.host.viewer.Welcome().GetSales() {
			if sale.Id == r.sale.Id {
				r.sale = sale
			}
		}
	}
	return errors.New("flash_stop: the sale's version kept changing")
}

func (r *smokeRun) reportProgress(ctx context.Context) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with stop, which waits for it
		defer close(done)
		for ctx.Err() == nil {
			r.Progress(r.progress())
			pause(ctx, 250*time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r *smokeRun) progress() Progress {
	p := Progress{Viewers: int64(r.Viewers), Likes: r.likes.Load(), Attempts: r.attemptsN.Load(), Paid: r.paid.Load()}
	p.Phase, _ = r.phase.Load().(string)
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Comments, p.Gifts = int64(len(r.comments)), int64(len(r.tips))
	for _, a := range r.attempts {
		if a.orderID != "" {
			p.Ordered++
		}
	}
	return p
}
