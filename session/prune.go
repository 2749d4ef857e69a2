package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/session/store"
)

// PrunerConfig says how often numbered events beyond their retention are deleted. Pool is required.
type PrunerConfig struct {
	Pool *pgxpool.Pool
	// Log is told of failures; nil discards.
	Log *slog.Logger
	// Every is the time between two rounds; 1 min when 0.
	Every time.Duration
}

// Pruner deletes numbered events that are older than 24 h or 10,000 behind their room's head. Any
// number of processes may run one.
type Pruner struct{ cfg PrunerConfig }

// NewPruner starts nothing.
func NewPruner(cfg PrunerConfig) (*Pruner, error) {
	if cfg.Pool == nil {
		return nil, errors.New("the pruner needs Postgres")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Pruner{cfg: cfg}, nil
}

// Run prunes until ctx ends.
func (p *Pruner) Run(ctx context.Context) error {
	ticker := time.NewTicker(p.cfg.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := store.PruneEvents(ctx, p.cfg.Pool); err != nil && ctx.Err() == nil {
				p.cfg.Log.Warn("numbered events were not pruned, the next round tries again", "err", err)
			}
		}
	}
}
