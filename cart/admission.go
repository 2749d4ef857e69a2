package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed reserve.lua
var reserveLua string

var reserveScript = store.NewScript(reserveLua)

const (
	// maxReserve is how many attempts one script call takes: more only hold up Redis.
	maxReserve = 64
	// maxLane is how many attempts of one sale may wait in one gateway.
	maxLane = 16384
	// pendingAfter is how long a buyer waits for an outcome.
	pendingAfter = 10 * time.Second
	// saleAge is how long a gateway remembers a sale that nobody asks for.
	saleAge = 10 * time.Minute
	// retryAfter is what buyers are told to wait who may simply ask again.
	retryAfter = time.Second
)

// admission is the gateway's part in flash sales: it gathers attempts, has Redis filter them, and
// asks the ledger about those that Redis let through. It confirms nothing by itself.
type admission struct {
	cfg      Config
	results  *prometheus.CounterVec
	degraded prometheus.Gauge // 1 while the breaker is open
	breaker  *breaker
	stock    *stockNews
	resyncer *resyncer
	paces    *paces
	// How long a buyer waits for an outcome.
	patience time.Duration
	// Closed when run ends: work in flight is given up, its keys can be asked for elsewhere.
	stop chan struct{}
	// When the last warning was logged, Unix nanoseconds.
	warnedAt atomic.Int64

	mu      sync.Mutex
	stopped bool
	lanes   map[place]*lane
	sales   map[string]time.Time // sales that attempts were let through for, and when last
	work    sync.WaitGroup       // goroutines of drain and ask; run waits for them
}

// place is a sale and the room in which it is asked for, which may be a wrong one.
type place struct{ saleID, roomID string }

// lane holds the attempts that wait for the script call in flight; there is one while a call is.
// Guarded by admission.mu.
type lane struct {
	place
	waiting []*bid
}

// bid is one attempt on its way. What becomes of it is sent once.
type bid struct {
	attempt  *proto.FlashAttempt
	reserved bool // by this bid, not by an earlier one of the same key
	done     chan answer
}

// answer is an order or the reason for none.
type answer struct {
	order *proto.Order
	err   error
}

func newAdmission(cfg Config) (*admission, error) {
	results, err := newReserveTotal(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	degraded, err := store.Degraded(cfg.Registerer, "ledger")
	if err != nil {
		return nil, err
	}
	a := &admission{
		cfg: cfg, results: results, degraded: degraded, breaker: newBreaker(), paces: newPaces(), patience: pendingAfter,
		stop: make(chan struct{}), lanes: map[place]*lane{}, sales: map[string]time.Time{},
	}
	a.stock = newStockNews(cfg, a.breaker.open)
	a.resyncer = newResyncer(cfg, a.stock)
	return a, nil
}

// Buy asks for pieces of a flash sale and returns the order once it is committed. Sending the same
// again under the same requestID returns the recorded outcome, for 24 h: the order as it is then,
// or ErrSoldOut, ErrLimitPerBuyer, ErrSaleEnded, ErrAttemptExpired again; other content is
// ErrKeyConflict. A sold_out or limit_per_buyer that Redis gave is known in that sale alone and lost
// with Redis; what the ledger decided stays.
//
// Not recorded: ErrNotStarted, ErrSaleNotFound, ErrOwnSale, ErrInvalidQuantity (1 to 99 pieces),
// ErrRateLimited (5 a second and user), ErrBusy, ErrTryAgain, and ErrPending after 10 s: the outcome
// then comes as order_updated, or by asking again under the same requestID.
func (c *Cart) Buy(ctx context.Context, roomID string, by Buyer, requestID string, cmd *proto.FlashBuy) (*proto.Order, error) {
	order, err := c.admission.buy(ctx, roomID, by, requestID, cmd)
	c.admission.results.WithLabelValues(result(err)).Inc()
	return order, err
}

func (a *admission) buy(ctx context.Context, roomID string, by Buyer, requestID string, cmd *proto.FlashBuy) (*proto.Order, error) {
	if err := checkBuy(by, requestID, cmd); err != nil {
		return nil, err
	}
	if wait := a.paces.take(by.User.Id, time.Now()); wait > 0 {
		return nil, ErrRateLimited.After(wait)
	}
	if a.breaker.open() {
		return nil, ErrTryAgain.After(retryAfter)
	}
	hash, err := contentHash(cmd)
	if err != nil {
		return nil, err
	}
	b := &bid{done: make(chan answer, 1), attempt: &proto.FlashAttempt{
		SaleId: cmd.SaleId, RoomId: roomID, Buyer: by.User, Key: requestID, Hash: hash,
		Quantity: cmd.Quantity, Source: by.Source, Guide: by.Guide,
	}}
	if err := a.enter(b); err != nil {
		return nil, err
	}
	patience := time.NewTimer(a.patience)
	defer patience.Stop()
	select {
	case got := <-b.done:
		return got.order, got.err
	case <-patience.C:
		return nil, ErrPending.After(retryAfter)
	case <-a.stop:
		return nil, ErrPending.After(retryAfter)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for an outcome: %w", ctx.Err())
	}
}

func checkBuy(by Buyer, requestID string, cmd *proto.FlashBuy) error {
	if err := by.check(); err != nil {
		return err
	}
	if err := checkKey(requestID); err != nil {
		return err
	}
	switch {
	case by.User.Role == proto.Role_ROLE_HOST || by.User.Role == proto.Role_ROLE_MODERATOR:
		return ErrOwnSale
	case !store.ValidID(cmd.GetSaleId()):
		return ErrSaleNotFound
	case cmd.Quantity < 1 || cmd.Quantity > MaxQuantity:
		return proto.Refuse(proto.ReasonInvalidQuantity, "a flash_buy is for 1 to %d pieces, not %d", MaxQuantity, cmd.Quantity)
	}
	return nil
}

// enter puts a bid in its lane and, where no script call is in flight, starts one.
func (a *admission) enter(b *bid) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return ErrTryAgain.After(retryAfter)
	}
	at := place{b.attempt.SaleId, b.attempt.RoomId}
	l := a.lanes[at]
	if l != nil {
		if len(l.waiting) >= maxLane {
			return ErrBusy.After(retryAfter)
		}
		l.waiting = append(l.waiting, b)
		return nil
	}
	l = &lane{place: at, waiting: []*bid{b}}
	a.lanes[at] = l
	a.work.Go(func() { a.drain(l) }) // ends when nobody waits in the lane
	return nil
}

// drain has what waits in a lane reserved, one script call after another, and takes the lane away.
func (a *admission) drain(l *lane) {
	for {
		a.mu.Lock()
		n := min(len(l.waiting), maxReserve)
		if n == 0 {
			delete(a.lanes, l.place)
			a.mu.Unlock()
			return
		}
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		a.mu.Unlock()
		a.reserve(l.place, batch)
	}
}

// reserve lets Redis filter a batch and sends the ledger what came through. Missing counters are
// made by a Resync, once.
func (a *admission) reserve(at place, batch []*bid) {
	words, err := a.callReserve(at, batch)
	if errors.Is(err, errNoCounters) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		err = a.resyncer.ensure(ctx, at.saleID)
		cancel()
		if err == nil {
			words, err = a.callReserve(at, batch)
		}
	}
	if err != nil {
		refusal := error(ErrSaleNotFound)
		if !errors.Is(err, ErrSaleNotFound) {
			// What may have been reserved is found pending when its key is asked again, or reaped.
			a.warn("attempts were not admitted", "sale", at.saleID, "attempts", len(batch), "err", err)
			refusal = ErrTryAgain.After(retryAfter)
		}
		for _, b := range batch {
			b.done <- answer{err: refusal}
		}
		return
	}
	var through []*bid
	for i, b := range batch {
		b.reserved = words[i] == "reserved"
		if b.reserved || words[i] == "ask" {
			through = append(through, b)
			continue
		}
		b.done <- answer{err: admissionRefusal(words[i])}
	}
	if len(through) > 0 {
		a.mu.Lock()
		a.sales[at.saleID] = time.Now()
		a.mu.Unlock()
		a.stock.changed(at.saleID)
		a.work.Go(func() { a.ask(at.saleID, through) }) // ends when all are answered, or with stop
	}
}

// warn logs once a second at the most: without Redis every batch of a crowd would.
func (a *admission) warn(msg string, args ...any) {
	now := time.Now().UnixNano()
	if before := a.warnedAt.Load(); now-before >= int64(time.Second) && a.warnedAt.CompareAndSwap(before, now) {
		a.cfg.Log.Warn(msg, args...)
	}
}

// errNoCounters says that Redis does not know the sale.
var errNoCounters = errors.New("the sale has no counters")

// callReserve returns reserve.lua's word for each bid.
func (a *admission) callReserve(at place, batch []*bid) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), store.RedisTimeout)
	defer cancel()
	call := reserveCall(at, batch)
	reply, err := reserveScript.Run(ctx, a.cfg.Redis, call.Keys, call.Args...).Text()
	return reserveWords(reply, err, len(batch))
}

func reserveCall(at place, batch []*bid) store.Call {
	args := append(make([]any, 0, 1+3*len(batch)), at.roomID)
	for _, b := range batch {
		field, content := hashed(b.attempt)
		args = append(args, field, content, strconv.Itoa(int(b.attempt.Quantity))+":"+b.attempt.Buyer.Id)
	}
	return store.Call{Keys: saleKeys(at.saleID), Args: args}
}

// reserveWords reads a reply of reserve.lua to n attempts.
func reserveWords(reply string, err error, n int) ([]string, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("reserve: %w", err)
	case reply == "unknown":
		return nil, errNoCounters
	}
	words := strings.Split(reply, " ")
	if len(words) != n {
		return nil, fmt.Errorf("reserve: %d words for %d attempts", len(words), n)
	}
	return words, nil
}

func admissionRefusal(word string) error {
	switch word {
	case "sold_out", "limit_per_buyer", "sale_ended":
		return refusals[word]
	case "conflict":
		return ErrKeyConflict
	case "not_started":
		return ErrNotStarted
	case "own_sale":
		return ErrOwnSale
	case "sale_not_found":
		return ErrSaleNotFound
	}
	return fmt.Errorf("reserve.lua replied %q", word)
}

// run tells rooms of their stock and of a silent ledger, until ctx ends; then it waits for the work
// in flight.
func (a *admission) run(ctx context.Context) error {
	tick := time.NewTicker(stockEvery)
	defer tick.Stop()
	wasOpen := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			open := a.breaker.open()
			a.sweep(time.Now(), open != wasOpen)
			if open != wasOpen {
				a.turned(open)
			}
			wasOpen = open
			a.stock.tell(ctx)
		}
	}
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	close(a.stop)
	a.work.Wait()
	return nil
}

// turned says that the breaker opened or closed.
func (a *admission) turned(open bool) {
	if open {
		a.degraded.Set(1)
		a.cfg.Log.Warn("no ledger answers: sales pause")
		return
	}
	a.degraded.Set(0)
	a.cfg.Log.Info("a ledger answers: sales go on")
}

// sweep forgets sales and buyers that nobody asks about, and where turned says so, has all rooms told
// that their sales pause or go on.
func (a *admission) sweep(now time.Time, turned bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, usedAt := range a.sales {
		if now.Sub(usedAt) > saleAge {
			delete(a.sales, id)
		} else if turned {
			a.stock.changed(id)
		}
	}
	a.paces.sweep(now)
}
