package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"livecart/session/store"
)

func TestTroubleIsToldOnceAMinuteAndAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		trouble := store.Trouble{Log: slog.New(slog.NewTextHandler(&said, nil)), What: "sweep"}
		away := errors.New("away")
		trouble.Note(t.Context(), nil)
		for range 600 { // a minute and a half, less a turn
			trouble.Note(t.Context(), away)
			time.Sleep(150 * time.Millisecond)
		}
		trouble.Note(t.Context(), nil)
		trouble.Note(t.Context(), nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		trouble.Note(ended, away)
		text := said.String()
		if fails, works := strings.Count(text, "sweep: fails"), strings.Count(text, "sweep: works again"); fails != 2 || works != 1 {
			t.Errorf("told of failing %d times and of working %d times:\n%s", fails, works, text)
		}
	})
}
