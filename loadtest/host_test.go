package loadtest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"livecart/proto"
)

func TestOnSale(t *testing.T) {
	w := &proto.SessionWelcome{Shelf: []*proto.ShelfEntry{{ProductId: "a", OnSale: true}, {ProductId: "b"}, {ProductId: "c", OnSale: true}, {ProductId: "d", OnSale: true}}}
	for shown, want := range map[string][]string{"": {"a", "c", "d"}, "a": {"c", "d", "a"}, "d": {"a", "c", "d"}, "b": {"a", "c", "d"}} {
		w.OnShow = &proto.ProductPushed{Product: &proto.Product{Id: shown}}
		if got := onSale(w); !slices.Equal(got, want) {
			t.Errorf("%q on show: %q, want %q", shown, got, want)
		}
	}
	w.OnShow = nil
	if got := onSale(w); len(got) != 3 || pushed(got, 1) != "push a" || pushed(got, 5) != "push c" {
		t.Errorf("%q", got)
	}
}

// What the host changed is as before in the end, after an interruption too.
func TestSettingsArePutBack(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []bool{false, true} {
		changes := 0
		r, target := openRoom(t, nil)
		ctx, cancel := t.Context(), func() {}
		if interrupted {
			ctx, cancel = context.WithCancel(t.Context())
		}
		r.onCommand = func(cmd *proto.Command) bool {
			if c := cmd.GetChatConfigure(); c != nil && len(c.Settings.BlockedTerms) > 1 {
				r.mu.Lock()
				defer r.mu.Unlock()
				if changes++; changes == 3 {
					cancel()
				}
			}
			return false
		}
		r.settings = &proto.ChatSettings{SlowModeMs: 1, BlockedTerms: []string{"rude"}}
		result, err := evening(t, target).Run(ctx)
		if err != nil || interrupted != (result.Partial != "") || !interrupted && !result.Passed {
			t.Errorf("interrupted %v: %+v: %v", interrupted, result, err)
		}
		r.mu.Lock()
		if changes < 3 || !proto.Equal(r.settings, &proto.ChatSettings{SlowModeMs: 1, BlockedTerms: []string{"rude"}}) {
			t.Errorf("interrupted %v: %v after %d changes", interrupted, r.settings, changes)
		}
		r.mu.Unlock()
	}
}

func TestHostNeedsSomethingToShow(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, func(r *room) { r.bare = true })
	_, err := evening(t, target).Run(t.Context())
	fails(t, err, "the run is invalid: no product of the room's shelf is on sale, the host has nothing to show")
}

// Of a host who does nothing there is nothing to check, and nothing is needed.
func TestHostThatDoesNothing(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, func(r *room) { r.bare = true })
	p := evening(t, target)
	p.Plan.Host = Host{}
	result, err := p.Run(t.Context())
	if err != nil || !result.Passed {
		t.Fatalf("%+v: %v", result, err)
	}
	for _, c := range result.Checks {
		if strings.HasPrefix(c.Name, "host_") && c.Skipped == "" {
			t.Errorf("%+v", c)
		}
	}
}
