package session

import (
	"context"
	"testing"
	"time"
)

func TestPrunerDeletesOldEvents(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.state("demo", false)
	}
	_, err := w.pool.Exec(t.Context(), `UPDATE room_event SET at = now() - interval '25 hours' WHERE seq < 3`)
	w.must(err)
	p, err := NewPruner(PrunerConfig{Pool: w.pool, Every: time.Millisecond})
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	eventually(t, "old events are gone", func() bool { return len(w.events("demo")) == 1 })
	cancel()
	w.must(<-ended)
	if left := w.events("demo"); left[0].Seq != 3 {
		t.Errorf("left is event %d", left[0].Seq)
	}
}
