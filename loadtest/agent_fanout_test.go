package loadtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

func TestFanoutByAgentsIsThatOfOneProcess(t *testing.T) {
	t.Parallel()
	url := smallNATS(t, 4096)
	for _, name := range []string{"a", "b", "c"} {
		startAgent(t, Agent{NATSURL: url, Name: name})
	}
	var results [2]*Result
	for i := range results {
		r := serveFanout(t, nil)
		result, err := r.play(t, func(f *Fanout) {
			f.news, f.For = 5*time.Second, time.Second
			if i == 1 {
				f.Agents = Agents{Count: 3, NATSURL: url}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !result.check(accounted).OK || result.check(accounted).Detail != "10 comments at 20 viewers" {
			t.Errorf("%+v, %v", result.Checks, result.Invalid)
		}
		results[i] = result
	}
	alone, together := counted(results[0]), counted(results[1])
	if !maps.Equal(alone, together) || together["delivered"] != 200 || together["offered.join"] != 20 {
		t.Errorf("alone %v, by agents %v", alone, together)
	}
	if !slices.Equal(results[0].Figures, results[1].Figures) || len(results[1].Environment.Agents) != 3 {
		t.Errorf("alone %v, by agents %v: %q", results[0].Figures, results[1].Figures, results[1].Environment.Agents)
	}
}

// What one agent's viewers were not told is found, though all comments came from others.
func TestFanoutByAgentsFindsALoss(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	startAgent(t, Agent{NATSURL: url, Name: "b"})
	r := serveFanout(t, func(comment, viewer int) *proto.ServerFrame {
		if comment == 7 && viewer == 3 {
			return &proto.ServerFrame{}
		}
		return nil
	})
	result, err := r.play(t, func(f *Fanout) { f.Agents = Agents{Count: 2, NATSURL: url} })
	if err != nil || result.Passed || !strings.Contains(result.check(accounted).Detail, "1 deliveries are missing and 0 too many, at 1 viewers") {
		t.Errorf("%+v: %v", result, err)
	}
}

func TestLateFanoutByAgentsIsInvalid(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	result, err := serveFanout(t, nil).play(t, func(f *Fanout) {
		f.MostLate, f.Agents = time.Nanosecond, Agents{Count: 1, NATSURL: url}
	})
	if err != nil || result.Passed || len(result.Invalid) != 1 || !strings.HasPrefix(result.Invalid[0], "agent a: the generator could not keep up") {
		t.Errorf("%+v: %v", result, err)
	}
}

func TestFanoutByAgentsWithoutRoomFails(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	f := Fanout{Target: Target{Gateways: []string{"http://127.0.0.1:1"}, Room: "demo", JWTKeyFile: keyFile(t, testKey)}, Viewers: 80, For: time.Second, Agents: Agents{Count: 1, NATSURL: url}}
	if _, err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "joining: agent a: 80 of 80 viewers could not join") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	f.Target.ViewerTokens = []string{token(t, jwt.MapClaims{})}
	if _, err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "viewer token 1") {
		t.Errorf("%v", err)
	}
}
