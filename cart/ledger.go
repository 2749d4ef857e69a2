package cart

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

const (
	// busFlash is the kind of request that the ledger serves.
	busFlash = "flash"
	// ledgerWorkers is how many transactions one process runs at a time: one decides while another
	// waits for its commit or for the lock of another sale. More only queue at a hot sale's row.
	ledgerWorkers = 2
	// maxUntold is how many decided batches may wait to be told and settled before deciding waits for
	// them.
	maxUntold = 16
	// bookTimeout bounds one transaction; what it did not answer is asked again by the gateways.
	bookTimeout = 5 * time.Second
)

// saleLedger is the ledger role's part in flash sales.
type saleLedger struct {
	cfg      Config
	metrics  store.LedgerMetrics
	inbox    *inbox
	resyncer *resyncer
	stock    *stockNews
	// Batches that are decided and answered; their reservations end and others hear of them while the
	// next ones are decided.
	decided chan booking
}

func newSaleLedger(cfg Config) (*saleLedger, error) {
	m, err := store.NewLedgerMetrics(cfg.Registerer, "flash")
	if err != nil {
		return nil, err
	}
	stock := newStockNews(cfg, func() bool { return false })
	return &saleLedger{
		cfg: cfg, metrics: m, inbox: newInbox(), stock: stock, resyncer: newResyncer(cfg, stock),
		decided: make(chan booking, maxUntold),
	}, nil
}

func (l *saleLedger) resync(ctx context.Context, saleID string) error {
	return l.resyncer.resync(ctx, saleID)
}

// Resync counts a sale's Redis counters anew; see the package's doc.
func (l *Ledger) Resync(ctx context.Context, saleID string) error { return l.sales.resync(ctx, saleID) }

// run serves until ctx ends. What was taken in by then is decided or handed back, never lost.
func (l *saleLedger) run(ctx context.Context) error {
	sub, err := l.cfg.Bus.Serve(busFlash, l.receive)
	if err != nil {
		return fmt.Errorf("cart ledger: %w", err)
	}
	g := new(errgroup.Group)
	var workers sync.WaitGroup
	for range ledgerWorkers {
		workers.Go(func() { l.work(ctx) }) // ends with ctx
	}
	// Ends when the workers have ended and all that they decided is told.
	g.Go(func() error {
		for done := range l.decided {
			l.tell(context.WithoutCancel(ctx), done)
		}
		return nil
	})
	keeper := newKeeper(l.cfg, l.resyncer)
	g.Go(func() error { return keeper.run(ctx) })
	g.Go(func() error { return runSaleClock(ctx, l.cfg, l.resync) })
	g.Go(func() error { return l.stock.run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		err := sub.Close()
		workers.Wait()
		close(l.decided)
		for _, e := range l.inbox.rest() {
			l.respond(e, refuseAll(e.attempts, outcomeBusy))
		}
		return err
	})
	return g.Wait()
}

// receive takes a gateway's envelope in.
func (l *saleLedger) receive(request bus.Request) {
	batch := new(proto.FlashBatch)
	if err := request.Decode(batch); err != nil {
		l.cfg.Log.Error("a flash envelope is malformed", "err", err)
		return
	}
	e := envelope{request, batch.Attempts}
	if !l.inbox.put(e) {
		l.respond(e, refuseAll(e.attempts, outcomeBusy))
	}
}

func (l *saleLedger) work(ctx context.Context) {
	for {
		envelopes := l.inbox.take(ctx)
		if envelopes == nil {
			return
		}
		// A decision that was begun is finished even while the process stops.
		l.serve(context.WithoutCancel(ctx), envelopes)
	}
}

// serve decides the attempts of some envelopes, answers them, and hands on what came of them.
func (l *saleLedger) serve(ctx context.Context, envelopes []envelope) {
	var asked []*proto.FlashAttempt
	for _, e := range envelopes {
		asked = append(asked, e.attempts...)
	}
	began := time.Now()
	done := l.book(ctx, asked)
	if len(asked) > 0 {
		l.metrics.BatchSize.Observe(float64(len(asked)))
		l.metrics.Seconds.Observe(time.Since(began).Seconds())
	}
	rest := done.decisions
	for _, e := range envelopes {
		l.respond(e, rest[:len(e.attempts)])
		rest = rest[len(e.attempts):]
	}
	l.decided <- done
}

// tell tells all who are concerned of a booking, and ends its reservations.
func (l *saleLedger) tell(ctx context.Context, done booking) {
	settleAttempts(ctx, l.cfg, done.asked, done.decisions)
	l.cfg.entered(done.made...)
	// Whoever made these may have died before it told their buyers.
	l.cfg.tell(done.found...)
	done.news.publish(l.cfg)
	for _, a := range done.asked {
		l.stock.changed(a.SaleId)
	}
}

func (l *saleLedger) respond(e envelope, decisions []*proto.FlashDecision) {
	if err := e.request.Respond(&proto.FlashDecisions{Decisions: decisions}); err != nil {
		// The gateway asks again by key.
		l.cfg.Log.Warn("a flash envelope was not answered", "attempts", len(e.attempts), "err", err)
	}
}

func refuseAll(asked []*proto.FlashAttempt, outcome proto.FlashOutcome) []*proto.FlashDecision {
	decisions := make([]*proto.FlashDecision, len(asked))
	for i, a := range asked {
		decisions[i] = &proto.FlashDecision{BuyerId: a.Buyer.GetId(), Key: a.Key, Outcome: outcome}
	}
	return decisions
}

// book decides a batch with one decision an attempt. Where the data of some attempt breaks the
// batch, it is halved until that one is found: it alone is rejected, the others go through.
func (l *saleLedger) book(ctx context.Context, asked []*proto.FlashAttempt) booking {
	b := booking{asked: asked, window: l.cfg.FlashPayWindow}
	if len(asked) == 0 {
		return b
	}
	txCtx, cancel := context.WithTimeout(ctx, bookTimeout)
	err := b.commit(txCtx, l.cfg)
	cancel()
	switch {
	case err == nil:
	case !store.DataError(err):
		l.cfg.Log.Error("flash attempts were not decided", "attempts", len(asked), "err", err)
		b.decisions = refuseAll(asked, outcomeTryAgain)
	case len(asked) == 1:
		return l.reject(ctx, asked[0], err)
	default:
		first, second := l.book(ctx, asked[:len(asked)/2]), l.book(ctx, asked[len(asked)/2:])
		b.decisions = append(first.decisions, second.decisions...)
		b.made = append(first.made, second.made...)
		b.found = append(first.found, second.found...)
		for _, half := range []roomNews{first.news, second.news} {
			for roomID, events := range half {
				b.news[roomID] = append(b.news[roomID], events...)
			}
		}
	}
	return b
}
