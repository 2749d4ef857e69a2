package loadtest

import (
	"bytes"
	"context"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"livecart/proto"
	"livecart/session/stack"
	"livecart/session/stack/stacktest"
)

// smallNATS starts a server that takes no more than so many bytes in a message.
func smallNATS(t *testing.T, most int32) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, MaxPayload: most, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS is not ready")
	}
	return s.ClientURL()
}

// counted are the counts of a result that do not depend on who was faster.
func counted(r *Result) map[string]int64 {
	counts := map[string]int64{}
	for name, n := range r.Counts {
		kind, rest, _ := strings.Cut(name, ".")
		switch kind {
		case "refused": // for which reason depends on who came first
			command, _, _ := strings.Cut(rest, ".")
			counts["refused."+command] += n
		case "offered", "sent", "ok", "delivered", "join_failed", "sampled", "skipped":
			counts[name] = n
		}
	}
	return counts
}

// everything is an evening in which all viewers are regulars, so that everything that is due is sent, and
// nobody is asked to wait, so that nothing is sent again by chance.
func everything(t *testing.T, target Target) Play {
	s := stages(Stage{time.Second, 1}, Stage{1500 * time.Millisecond, 1})
	s.Comments, s.Likes, s.Gifts, s.Givers, s.Repeats = 1000, 1000, 500, 0.3, 0.25
	s.Sale = Sale{At: time.Second, Over: time.Second, Buyers: 1, PerPiece: 5, Unpaid: 0.25, Retries: 2}
	p := Play{Plan: plan(t, s, 23), Seed: 7, Target: target, MostLate: time.Minute, pace: pace{quiet: 50 * time.Millisecond, news: 5 * time.Second}}
	if p.Plan.Regulars != 23 {
		t.Fatalf("%d of 23 are regulars", p.Plan.Regulars)
	}
	return p
}

// Two agents are one process: what is offered, sent, answered and delivered is the same, all checks hold,
// and every command is in the one history. NATS takes messages that are smaller than assignments and reports.
func TestAgentsAreOneProcess(t *testing.T) {
	t.Parallel()
	url := smallNATS(t, 4096)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	startAgent(t, Agent{NATSURL: url, Name: "b"})
	for _, tt := range []struct {
		name  string
		play  func(*testing.T, Target) Play
		same  func(counts map[string]int64) map[string]int64
		agent int
	}{
		{"regulars alone", everything, maps.Clone[map[string]int64], 2},
		{"one agent", everything, maps.Clone[map[string]int64], 1},
		{"visitors", evening, func(counts map[string]int64) map[string]int64 {
			// Who is asked to act before the welcome came does not: that is a matter of chance.
			offered := map[string]int64{}
			for name, n := range counts {
				if strings.HasPrefix(name, "offered.") || strings.Contains(name, "gift") || strings.HasSuffix(name, ".join") || strings.HasSuffix(name, ".leave") {
					offered[name] = n
				}
			}
			return offered
		}, 2},
		{"lost replies and bots", func(t *testing.T, target Target) Play {
			p := rush(t, target)
			p.Plan.Scenario.Gifts, p.Plan.Scenario.LostReplies, p.Plan.Scenario.Repeats = 100, 0.5, 0.5
			var err error
			if p.Plan, err = p.Plan.Scenario.Plan(0, 0); err != nil {
				t.Fatal(err)
			}
			return p
		}, func(counts map[string]int64) map[string]int64 {
			maps.DeleteFunc(counts, func(name string, _ int64) bool { return !strings.HasPrefix(name, "offered.") })
			return counts
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results, histories := [2]*Result{}, [2]int{}
			for i := range results {
				r, target := openRoom(t, nil)
				p := tt.play(t, target)
				var history bytes.Buffer
				p.Recorder = NewRecorder(&history)
				if i == 1 {
					p.Agents = Agents{Count: tt.agent, NATSURL: url}
				}
				result, err := p.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !result.Passed {
					t.Errorf("%s: %+v, %v", result.Verdict(), result.Checks, result.Invalid)
				}
				if err := p.Recorder.Close(); err != nil {
					t.Fatal(err)
				}
				records, err := ReadRecords(&history)
				if err != nil {
					t.Fatal(err)
				}
				results[i], histories[i] = result, len(records)
				r.nobodyIsLeft(t)
			}
			alone, together := results[0], results[1]
			if a, b := tt.same(counted(alone)), tt.same(counted(together)); !maps.Equal(a, b) || len(a) < 3 {
				t.Errorf("alone %v, by agents %v", a, b)
			}
			for i, c := range alone.Checks {
				if i >= len(together.Checks) || together.Checks[i].Name != c.Name || together.Checks[i].Skipped != c.Skipped {
					t.Fatalf("alone %+v, by agents %+v", alone.Checks, together.Checks)
				}
			}
			if len(alone.Load) != len(together.Load) || together.Viewers != alone.Viewers || len(together.Environment.Agents) != tt.agent {
				t.Errorf("%+v of %d viewers by %q", together.Load, together.Viewers, together.Environment.Agents)
			}
			if tt.name == "regulars alone" && (histories[0] == 0 || histories[0] != histories[1]) {
				t.Errorf("alone %d records, by agents %d", histories[0], histories[1])
			}
			for i, l := range alone.Latency {
				// Likes are looked at by those of the process that sent them.
				same := together.Latency[i].Count == l.Count || l.Name == "delivery.like"
				if tt.name == "regulars alone" && (together.Latency[i].Name != l.Name || !same) {
					t.Errorf("alone %+v, by agents %+v", l, together.Latency[i])
				}
			}
		})
	}
}

func TestScheduleThatAgentsDoNotPlayWhole(t *testing.T) {
	p := everything(t, Target{Gateways: []string{"http://127.0.0.1:1"}})
	r := &playTeam{playRun: p.newRun(nil)}
	for a := range NewSchedule(p.Plan, p.Seed).All() {
		r.meter.Count("offered."+a.Kind.String(), 1)
	}
	if all := r.notWhole(); len(all) > 0 {
		t.Errorf("%q", all)
	}
	r.meter.Count("offered.like", 1)
	if all := r.notWhole(); len(all) != 1 || !strings.Contains(all[0], " of like, the schedule has ") {
		t.Errorf("%q", all)
	}
}

// One agent that is late makes the whole run invalid.
func TestLateAgentMakesTheRunInvalid(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	_, target := openRoom(t, nil)
	p := evening(t, target)
	p.MostLate, p.Agents = time.Nanosecond, Agents{Count: 1, NATSURL: url}
	result, err := p.Run(t.Context())
	if err != nil || result.Passed || len(result.Invalid) != 2 || !strings.HasPrefix(result.Invalid[0], "the run: the generator could not keep up") || !strings.HasPrefix(result.Invalid[1], "agent a: the generator could not keep up") {
		t.Errorf("%+v: %v", result, err)
	}
}

// A NATS that is away for a moment costs the run nothing.
func TestRunByAgentsOutlivesNATS(t *testing.T) {
	t.Parallel()
	meeting, err := stack.StartNATS(0)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(meeting.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	startAgent(t, Agent{NATSURL: meeting.URL(), Name: "a"})
	startAgent(t, Agent{NATSURL: meeting.URL(), Name: "b"})
	var once sync.Once
	var restarting sync.WaitGroup
	defer func() { meeting.Close() }()
	defer restarting.Wait()
	_, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "gift_send" {
				once.Do(func() {
					restarting.Go(func() {
						meeting.Close()
						if meeting, err = stack.StartNATS(port); err != nil {
							t.Error(err)
						}
					})
				})
			}
			return false
		}
	})
	p := evening(t, target)
	p.Agents = Agents{Count: 2, NATSURL: meeting.URL()}
	result, err := p.Run(t.Context())
	if err != nil || !result.Passed {
		t.Errorf("%+v: %v", result, err)
	}
}

// Ctrl-C at the run: the agents leave the room and are free; what was measured is told, without verdict.
func TestRunByAgentsIsInterrupted(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	startAgent(t, Agent{NATSURL: url, Name: "b"})
	ctx, cancel := context.WithCancel(t.Context())
	r, target := openRoom(t, func(r *room) {
		var gifts atomic.Int64
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "gift_send" && gifts.Add(1) == 3 {
				cancel()
			}
			return false
		}
	})
	p := evening(t, target)
	p.Agents = Agents{Count: 2, NATSURL: url}
	result, err := p.Run(ctx)
	if err != nil || result.Partial != "the run was interrupted while playing" || result.Passed || len(result.Checks) > 0 {
		t.Fatalf("%+v: %v", result, err)
	}
	if result.Counts["ok.gift_send"] < 2 || len(result.Environment.Agents) != 2 {
		t.Errorf("%v of %q", result.Counts, result.Environment.Agents)
	}
	r.nobodyIsLeft(t)
	_, again := openRoom(t, nil)
	p = evening(t, again)
	p.Agents = Agents{Count: 2, NATSURL: url}
	if result, err := p.Run(t.Context()); err != nil || !result.Passed {
		t.Errorf("the next run: %+v: %v", result, err)
	}
}
