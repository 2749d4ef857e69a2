package proto_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"livecart/proto"
)

func TestWireTellsProblemsAndHidesTheRest(t *testing.T) {
	slow := proto.Refuse(proto.ReasonSlowMode, "wait").After(1500 * time.Millisecond)
	tests := []struct {
		name string
		err  error
		want *proto.Error
	}{
		{"problem", slow, &proto.Error{Code: 429, Reason: "slow_mode", Message: "wait", RetryAfterMs: 1500}},
		{"wrapped problem", fmt.Errorf("post: %w", slow), &proto.Error{Code: 429, Reason: "slow_mode", Message: "wait", RetryAfterMs: 1500}},
		{"inner error", errors.New("password is hunter2"), &proto.Error{Code: 500, Reason: "internal", Message: "something went wrong on our side"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := proto.Wire(tt.err); !proto.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestProblemIsComparesReasons(t *testing.T) {
	soldOut := proto.Refuse(proto.ReasonSoldOut, "nothing is left")
	if !errors.Is(fmt.Errorf("buy: %w", soldOut.After(time.Second)), soldOut) {
		t.Error("the same reason with other details is not recognised")
	}
	if errors.Is(soldOut, proto.Refuse(proto.ReasonSaleEnded, "nothing is left")) {
		t.Error("another reason is taken for this one")
	}
}

func TestAfterLeavesTheSentinelAlone(t *testing.T) {
	sentinel := proto.Refuse(proto.ReasonBusy, "full")
	if sentinel.After(time.Second); sentinel.RetryAfter != 0 {
		t.Error("After changed its receiver")
	}
}

func TestUnknownReasonIsOurFault(t *testing.T) {
	if got := proto.Reason("no_such_word").Code(); got != http.StatusInternalServerError {
		t.Errorf("code %d", got)
	}
}

func TestRoles(t *testing.T) {
	tests := []struct {
		word             string
		moderates, hosts bool
	}{{"viewer", false, false}, {"moderator", true, false}, {"host", true, true}, {"bot", false, false}, {"operator", true, true}}
	for _, tt := range tests {
		r, ok := proto.ParseRole(tt.word)
		if !ok || r.Word() != tt.word || r.Moderates() != tt.moderates || r.Hosts() != tt.hosts {
			t.Errorf("%s: role %v, ok %v, word %q, moderates %v, hosts %v", tt.word, r, ok, r.Word(), r.Moderates(), r.Hosts())
		}
	}
	if _, ok := proto.ParseRole("ROLE_HOST"); ok {
		t.Error("a wire name was taken for a token's word")
	}
}

func TestKnownReasons(t *testing.T) {
	for reason, known := range map[proto.Reason]bool{proto.ReasonSoldOut: true, proto.ReasonInternal: true, "": false, "ok": false, "Sold_Out": false} {
		if reason.Known() != known {
			t.Errorf("%q is known: %v", reason, !known)
		}
	}
}
