package gift

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"livecart/session/bus"
)

// Config is what both sides need. Pool and Bus are required.
type Config struct {
	Pool *pgxpool.Pool
	Bus  *bus.Bus
	// Log is told of what a person should look at; nil discards.
	Log *slog.Logger
	// Registerer takes the metrics; nil keeps them to ourselves. Gifts, Ledger and the ledgers of
	// other packages may share one.
	Registerer prometheus.Registerer
	// Provider takes payments for top-ups; nil refuses top-ups. A ledger asks it about top-ups whose
	// notice has not come and for refunds; without one, both wait.
	Provider Provider
	// ProviderName stands in notices and refunds; "sandbox" when empty.
	ProviderName string
	// TopUpWindow is how long a top-up may be paid; 30 minutes when 0. A later payment is credited
	// all the same if the provider lets it happen.
	TopUpWindow time.Duration

	// AskAfter is the age at which a ledger first asks about a top-up that is not paid; 15 s when 0.
	AskAfter time.Duration
	// RefundPause is the most that a refund which failed once waits to be tried again; it doubles with
	// each try, up to 10 minutes. 1 s when 0.
	RefundPause time.Duration

	// ConfirmBeans is from how many beans on a gift_send must say that its sender agreed to them;
	// 10,000 when 0, negative for never.
	ConfirmBeans int64

	// EnvelopeTimeout is how long to wait for a worker's answer before asking again; 1 s when 0.
	EnvelopeTimeout time.Duration
	// PendingAfter is how long Send waits for an outcome; 10 s when 0.
	PendingAfter time.Duration
	// CatalogueAge is how old a gateway's copy of the catalogue may be; 5 s when 0.
	CatalogueAge time.Duration
	// RankingAge is how old a gateway's copy of a ranking may be; 1 s when 0.
	RankingAge time.Duration

	// Inbox is how many tips may wait at a worker, beyond which it answers busy; 4096 when 0.
	Inbox int
	// UnannouncedAfter is the age at which a booked tip that nobody announced is swept; 2 s when 0.
	UnannouncedAfter time.Duration
	// SweepEvery is the time between two sweeps; 1 s when 0.
	SweepEvery time.Duration
}

func (cfg *Config) setDefaults() error {
	if cfg.Pool == nil || cfg.Bus == nil {
		return errors.New("gift: a pool and a bus are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Inbox < 0 {
		return errors.New("gift: the inbox is negative")
	}
	if cfg.Inbox == 0 {
		cfg.Inbox = 4096
	}
	if cfg.ProviderName == "" {
		cfg.ProviderName = "sandbox"
	}
	if cfg.ConfirmBeans == 0 {
		cfg.ConfirmBeans = 10_000
	}
	for _, d := range []struct {
		field    *time.Duration
		standard time.Duration
	}{
		{&cfg.TopUpWindow, 30 * time.Minute},
		{&cfg.AskAfter, 15 * time.Second},
		{&cfg.RefundPause, time.Second},
		{&cfg.EnvelopeTimeout, time.Second},
		{&cfg.PendingAfter, 10 * time.Second},
		{&cfg.CatalogueAge, 5 * time.Second},
		{&cfg.RankingAge, time.Second},
		{&cfg.UnannouncedAfter, 2 * time.Second},
		{&cfg.SweepEvery, time.Second},
	} {
		if *d.field < 0 {
			return errors.New("gift: a duration is negative")
		}
		if *d.field == 0 {
			*d.field = d.standard
		}
	}
	return nil
}
