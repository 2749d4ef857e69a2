package gift

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

func TestTipForm(t *testing.T) {
	ok := func() (string, *proto.User, string, *proto.GiftSend) {
		return live, user("ann"), "k", &proto.GiftSend{GiftId: "rose", Count: 1}
	}
	tests := []struct {
		name   string
		change func(room *string, by *proto.User, key *string, cmd *proto.GiftSend)
		want   proto.Reason // "" for a good one
	}{
		{"plain", func(*string, *proto.User, *string, *proto.GiftSend) {}, ""},
		{"count 0", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.Count = 0 }, proto.ReasonInvalidQuantity},
		{"count -1", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.Count = -1 }, proto.ReasonInvalidQuantity},
		{"count 999", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.Count = 999 }, ""},
		{"count 1000", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.Count = 1000 }, proto.ReasonInvalidQuantity},
		{"huge count", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.Count = 1<<31 - 1 }, proto.ReasonInvalidQuantity},
		{"no gift", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.GiftId = "" }, proto.ReasonUnknownGift},
		{"gift with a space", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.GiftId = "a b" }, proto.ReasonUnknownGift},
		{"combo of 64", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.ComboId = strings.Repeat("c", 64) }, ""},
		{"combo of 65", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.ComboId = strings.Repeat("c", 65) }, proto.ReasonInvalidArgument},
		{"combo with a zero byte", func(_ *string, _ *proto.User, _ *string, c *proto.GiftSend) { c.ComboId = "a\x00" }, proto.ReasonInvalidArgument},
		{"no request_id", func(_ *string, _ *proto.User, k *string, _ *proto.GiftSend) { *k = "" }, proto.ReasonInvalidArgument},
		{"request_id of 64 characters", func(_ *string, _ *proto.User, k *string, _ *proto.GiftSend) { *k = strings.Repeat("键", 64) }, ""},
		{"request_id of 65", func(_ *string, _ *proto.User, k *string, _ *proto.GiftSend) { *k = strings.Repeat("k", 65) }, proto.ReasonInvalidArgument},
		{"request_id with a zero byte", func(_ *string, _ *proto.User, k *string, _ *proto.GiftSend) { *k = "\x00" }, proto.ReasonInvalidArgument},
		{"anonymous", func(_ *string, u *proto.User, _ *string, _ *proto.GiftSend) { u.Id = "" }, proto.ReasonSignInRequired},
		{"user id of 128 bytes", func(_ *string, u *proto.User, _ *string, _ *proto.GiftSend) { u.Id = strings.Repeat("u", 128) }, ""},
		{"user id of 129", func(_ *string, u *proto.User, _ *string, _ *proto.GiftSend) { u.Id = strings.Repeat("u", 129) }, proto.ReasonInvalidArgument},
		{"room of another form", func(r *string, _ *proto.User, _ *string, _ *proto.GiftSend) { *r = "a.b" }, proto.ReasonRoomNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			room, by, key, cmd := ok()
			tt.change(&room, by, &key, cmd)
			_, err := newTipRequest(room, by, key, cmd)
			if got := proto.Wire(err).Reason; err != nil && got != string(tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if (err == nil) != (tt.want == "") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := newTipRequest(live, nil, "k", &proto.GiftSend{GiftId: "rose", Count: 1}); !errors.Is(err, ErrSignIn) {
		t.Errorf("nobody: %v", err)
	}
}

func TestNamesAreTidied(t *testing.T) {
	for name, want := range map[string]string{
		"":                             "",
		"a\x00b\xff":                   "ab",
		strings.Repeat("名", 129) + "x": strings.Repeat("名", 128),
	} {
		if got := tidyName(name); got != want {
			t.Errorf("tidyName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestHashTellsRequestsApart(t *testing.T) {
	seen := map[string]bool{}
	for _, room := range []string{"r1", "r2"} {
		for _, cmd := range []*proto.GiftSend{
			{GiftId: "g", Count: 1}, {GiftId: "g", Count: 11}, {GiftId: "g1", Count: 1}, {GiftId: "g", Count: 1, ComboId: "1"}, {GiftId: "g", Count: 1, ComboId: "11"},
		} {
			seen[string(hashTip(room, cmd))] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("10 requests have %d hashes", len(seen))
	}
}

// The worker commits, its answer is lost; what is asked again under the key gets the same booking,
// even from another worker.
func TestLostAnswerBooksOnce(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100)
	first := w.newLedger()
	g := w.newGifts(func(c *Config) { c.EnvelopeTimeout = 5 * time.Second })
	var lost atomic.Int32
	ask := g.dispatcher.ask
	g.dispatcher.ask = func(ctx context.Context, batch *proto.TipBatch) (*proto.TipDecisions, error) {
		reply, err := ask(ctx, batch)
		if err == nil && lost.Add(1) == 1 {
			return nil, context.DeadlineExceeded
		}
		return reply, err
	}
	w.run(g.Run)
	w.runLedger(first)
	w.runLedger(w.newLedger())
	sent, balance, err := g.Send(t.Context(), live, user("ann"), "k", &proto.GiftSend{GiftId: "cake", Count: 1})
	if err != nil || balance.Balance != 67 {
		t.Fatalf("%v, %v", balance, err)
	}
	if lost.Load() < 2 {
		t.Error("no answer was lost")
	}
	if n := w.number(`SELECT count(*) FROM tip WHERE id = $1`, sent.TipIds[0]); n != 1 || w.balance("ann") != 67 {
		t.Errorf("%d tips, %d beans left", n, w.balance("ann"))
	}
}

// Tips sent while a worker stops and another takes over are each booked once.
func TestWorkersChange(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	stop := w.runLedger(w.newLedger())
	g := w.gifts()
	const tips = 300
	errs := make(chan error, tips)
	for i := range tips {
		go func() {
			_, _, err := g.Send(context.Background(), live, user("ann"), "k"+string(rune('0'+i)), &proto.GiftSend{GiftId: "rose", Count: 1, ComboId: "c"})
			errs <- err
		}()
		if i == tips/2 {
			stop()
			w.runLedger(w.newLedger())
		}
	}
	for range tips {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := w.number(`SELECT max(combo_count) FROM tip`); n != tips || w.balance("ann") != 1000-tips {
		t.Errorf("combo of %d, %d beans left", n, w.balance("ann"))
	}
}
