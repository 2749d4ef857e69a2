package store

import (
	"context"
	"log/slog"
	"time"
)

// troubleEvery is how often a trouble that lasts is told again.
const troubleEvery = time.Minute

// Trouble tells the log of a job that is done over and over: when it begins to fail, once a minute
// while it does, and when it works again, so that an outage of some minutes is not a thousand lines.
// One goroutine may use it.
type Trouble struct {
	Log *slog.Logger
	// What names the job: "end sales whose time is over".
	What string

	told time.Time // zero while it works
}

// Note takes in how the job went. An error after the end of ctx is the end's, not the job's.
func (t *Trouble) Note(ctx context.Context, err error) {
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil && time.Since(t.told) >= troubleEvery:
		t.told = time.Now()
		t.Log.Warn(t.What+": fails, will be tried again", "err", err)
	case err == nil && !t.told.IsZero():
		t.told = time.Time{}
		t.Log.Info(t.What + ": works again")
	}
}
