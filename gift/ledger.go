package gift

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

const (
	// MaxBatch is how many tips an envelope holds, and about how many a transaction decides.
	MaxBatch = 200
	// bookTimeout bounds one batch, so that a stuck database shows as try_again.
	bookTimeout = 5 * time.Second
	// unheard is how many booked batches may wait to be announced before booking waits for them.
	unheard = 16
)

// Ledger is a worker that books tips. Any number of them may run, in any number of processes.
type Ledger struct {
	pool    *pgxpool.Pool
	bus     *bus.Bus
	log     *slog.Logger
	cfg     Config
	metrics store.LedgerMetrics
	inbox   *inbox
	booked  chan []*tip
}

// NewLedger returns a worker that does nothing before [Ledger.Run].
func NewLedger(cfg Config) (*Ledger, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	metrics, err := store.NewLedgerMetrics(cfg.Registerer, "tip")
	if err != nil {
		return nil, err
	}
	return &Ledger{
		pool: cfg.Pool, bus: cfg.Bus, log: cfg.Log, cfg: cfg, metrics: metrics,
		inbox: newInbox(cfg.Inbox), booked: make(chan []*tip, unheard),
	}, nil
}

// Run serves tips until ctx ends, then answers what has come in, announces it and returns. It can
// be called once.
func (l *Ledger) Run(ctx context.Context) error {
	sub, err := l.bus.Serve("tip", l.accept)
	if err != nil {
		return fmt.Errorf("tip ledger: %w", err)
	}
	// Stopped by the closed inbox and, after it, by the closed channel.
	var workers sync.WaitGroup
	workers.Go(l.bookAll)
	workers.Go(l.announceAll)
	if l.cfg.Provider != nil {
		workers.Go(func() { l.askProvider(ctx) }) // ends with ctx
	}
	l.sweepUntil(ctx)
	err = sub.Close()
	l.inbox.close()
	workers.Wait()
	if err != nil {
		return fmt.Errorf("tip ledger: %w", err)
	}
	return nil
}

// accept is called by the bus for each envelope, one after another.
func (l *Ledger) accept(r bus.Request) {
	asked := new(proto.TipBatch)
	if err := r.Decode(asked); err != nil {
		l.log.Error("tip ledger: unreadable envelope", "err", err)
		return
	}
	e := envelope{request: r, tips: asked.Tips}
	if !l.inbox.put(e) {
		l.answer(e, all(e.tips, busy))
	}
}

// all decides every request alike.
func all(asked []*proto.TipRequest, outcome proto.TipOutcome) []attempt {
	decided := make([]attempt, len(asked))
	for i, req := range asked {
		decided[i] = attempt{hash: req.Hash, outcome: outcome}
	}
	return decided
}

func (l *Ledger) answer(e envelope, decided []attempt) {
	reply := &proto.TipDecisions{Decisions: make([]*proto.TipDecision, len(decided))}
	for i, a := range decided {
		reply.Decisions[i] = a.decision(e.tips[i])
	}
	if err := e.request.Respond(reply); err != nil {
		l.log.Warn("tip ledger: answer", "err", err)
	}
}

func (l *Ledger) bookAll() {
	defer close(l.booked)
	for {
		envelopes := l.inbox.take(MaxBatch)
		if len(envelopes) == 0 {
			return
		}
		var asked []*proto.TipRequest
		for _, e := range envelopes {
			asked = append(asked, e.tips...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), bookTimeout)
		start := time.Now()
		decided, tips := l.settle(ctx, asked)
		cancel()
		l.metrics.BatchSize.Observe(float64(len(asked)))
		l.metrics.Seconds.Observe(time.Since(start).Seconds())
		for _, e := range envelopes {
			l.answer(e, decided[:len(e.tips)])
			decided = decided[len(e.tips):]
		}
		if len(tips) > 0 {
			l.booked <- tips
		}
	}
}

// settle books the requests and returns one attempt a request and the committed tips. A request
// whose own data cannot be booked is found by halving and rejected for good; after any other error
// the outcome is open, since even a failed commit may have happened, and they are to be asked again.
func (l *Ledger) settle(ctx context.Context, asked []*proto.TipRequest) (decided []attempt, tips []*tip) {
	err := store.InTx(ctx, l.pool, func(tx pgx.Tx) (err error) {
		decided, tips, err = book(ctx, tx, max(0, l.cfg.ConfirmBeans), asked)
		return err
	})
	switch {
	case err == nil:
		return decided, tips
	case !store.DataError(err):
		l.log.Warn("tip ledger: batch not booked", "tips", len(asked), "err", err)
		return all(asked, tryAgain), nil
	case len(asked) == 1:
		return l.reject(ctx, asked[0], err), nil
	}
	half := len(asked) / 2
	first, firstTips := l.settle(ctx, asked[:half])
	second, secondTips := l.settle(ctx, asked[half:])
	return append(first, second...), append(firstTips, secondTips...)
}

// reject records that a request cannot be booked and keeps it for a person to look at.
func (l *Ledger) reject(ctx context.Context, req *proto.TipRequest, cause error) []attempt {
	l.log.Error("tip ledger: request rejected, see dead_letter", "err", cause)
	payload, err := proto.Encode(proto.Binary, req)
	if err == nil {
		err = store.InTx(ctx, l.pool, func(tx pgx.Tx) error {
			// A text with a zero byte is among what Postgres refuses.
			key := strings.ReplaceAll(senderOf(req)+" "+req.Key, "\x00", "\uFFFD")
			_, err := tx.Exec(ctx, `INSERT INTO dead_letter (kind, key, payload, error) VALUES ('tip', $1, $2, $3)`, key, payload, cause.Error())
			return err
		})
	}
	if err != nil {
		l.log.Error("tip ledger: dead_letter", "err", err)
		return all([]*proto.TipRequest{req}, tryAgain)
	}
	recorded, err := l.pool.Exec(ctx, `INSERT INTO tip_attempt (sender_id, key, hash, outcome) VALUES ($1, $2, $3, 'rejected') ON CONFLICT DO NOTHING`,
		senderOf(req), req.Key, req.Hash)
	switch {
	case store.DataError(err):
		// The key itself is what Postgres refuses. There is no row, and none is needed: the same
		// request cannot fare better next time.
	case err != nil:
		l.log.Error("tip ledger: record rejection", "err", err)
		return all([]*proto.TipRequest{req}, tryAgain)
	case recorded.RowsAffected() == 0:
		// Another worker has decided it meanwhile: its outcome stands, and is found when asked again.
		return all([]*proto.TipRequest{req}, tryAgain)
	}
	return all([]*proto.TipRequest{req}, rejected)
}
