package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

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

// startAgent runs an agent until the test ends or stop is called, and returns when it can be found.
func startAgent(t *testing.T, a Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	log := a.Log
	a.Log = func(line string) {
		once.Do(func() { close(ready) })
		if log != nil {
			log(line)
		}
	}
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("agent %s: %v", a.Name, err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
	}
	return stop
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

func TestAgentsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, nil)
	for _, tt := range []struct {
		name   string
		agents []Agent
		count  int
		want   []string
	}{
		{"nobody", nil, 2, []string{"2 agents are needed and 0 can be had"}},
		{"one missing", []Agent{{Name: "a"}}, 2, []string{"2 agents are needed and 1 can be had"}},
		{"another version", []Agent{{Name: "a"}, {Name: "b", build: build{agentProtocol, "v0.1", "amd64"}}}, 2, []string{"1 can be had", "agent b is of another version (v0.1 for amd64, this run is " + ownBuild().String()}},
		{"another protocol", []Agent{{Name: "a", build: build{agentProtocol + 1, version(), ownBuild().Arch}}}, 1, []string{"0 can be had", "agent a is of another version"}},
		{"a clock ahead", []Agent{{Name: "a"}, {Name: "b", now: func() time.Time { return time.Now().Add(2 * time.Second) }}}, 2, []string{"agent b: its clock is ", "ahead of that of this machine, 100ms are allowed"}},
		{"a clock behind", []Agent{{Name: "a", now: func() time.Time { return time.Now().Add(-2 * time.Second) }}}, 1, []string{"agent a: its clock is ", "behind that of this machine"}},
		{"too small", []Agent{{Name: "a", Fits: func(viewers int) error { return fmt.Errorf("%d are too many", viewers) }}}, 1, []string{"agent a: 80 are too many"}},
		{"more agents than viewers", nil, 41, []string{"41 agents cannot share 40 viewers"}},
		{"too many agents", nil, 101, []string{"a run has 1 to 100 agents, not 101"}},
		{"fewer than none", nil, -1, []string{"a run has 1 to 100 agents, not -1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := stacktest.NATS(t)
			for _, a := range tt.agents {
				a.NATSURL = url
				startAgent(t, a)
			}
			p := evening(t, target)
			p.Agents = Agents{Count: tt.count, NATSURL: url, find: 500 * time.Millisecond}
			result, err := p.Run(t.Context())
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%+v: %v does not say %q", result, err, want)
				}
			}
		})
	}
}

func TestSkewed(t *testing.T) {
	for _, tt := range []struct {
		skew, took time.Duration
		ok         bool
	}{
		{mostSkew, 0, true}, {mostSkew + 1, 0, false}, {-mostSkew, 0, true}, {-mostSkew - 1, 0, false},
		{mostSkew + time.Millisecond, 2 * time.Millisecond, true}, {mostSkew + time.Millisecond, 2*time.Millisecond - 2, false},
	} {
		if err := skewed(tt.skew, tt.took); (err == nil) != tt.ok {
			t.Errorf("%v in %v: %v", tt.skew, tt.took, err)
		}
	}
}

func TestAgentsNeedNATS(t *testing.T) {
	t.Parallel()
	const away = "nats://user:secret@127.0.0.1:1"
	_, target := openRoom(t, nil)
	p := evening(t, target)
	p.Agents = Agents{Count: 1, NATSURL: away}
	_, runErr := p.Run(t.Context())
	for name, err := range map[string]error{
		"agent": Agent{NATSURL: away}.Run(t.Context()), "token": Agent{NATSURL: "nats://secret@127.0.0.1:1"}.Run(t.Context()), "run": runErr,
	} {
		if err == nil || !strings.Contains(err.Error(), "xxxxx@127.0.0.1:1: nats: no servers available") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{strings.Repeat("n", maxAgentName+1), "two\nlines", " a"} {
		if err := (Agent{NATSURL: away, Name: name}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "name has 1 to 64 bytes") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := (Agent{NATSURL: away, Name: strings.Repeat("n", maxAgentName)}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no servers") {
		t.Errorf("the longest name: %v", err)
	}
}

// An agent that one run has refuses another, and is free again after it.
func TestAgentPlaysForOneRun(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	_, other := openRoom(t, nil)
	late := evening(t, other)
	late.Agents = Agents{Count: 1, NATSURL: url, find: 3 * time.Second}
	second := make(chan error, 1)
	var once sync.Once
	_, target := openRoom(t, func(r *room) {
		r.onCommand = func(*proto.Command) bool {
			once.Do(func() { // the first run waits for it
				_, err := late.Run(t.Context())
				second <- err
			})
			return false
		}
	})
	p := evening(t, target)
	p.Agents = Agents{Count: 1, NATSURL: url}
	if result, err := p.Run(t.Context()); err != nil || !result.Passed {
		t.Errorf("the first run: %+v: %v", result, err)
	}
	if err := <-second; err == nil || !strings.Contains(err.Error(), "agent a plays for another run (") {
		t.Errorf("the second run: %v", err)
	}
	p = evening(t, other)
	p.Agents = Agents{Count: 1, NATSURL: url}
	if result, err := p.Run(t.Context()); err != nil || !result.Passed {
		t.Errorf("the third run: %+v: %v", result, err)
	}
}

// Of two runs that found the same agent free at once, the second is told so.
func TestAgentRefusesTheSecondRun(t *testing.T) {
	t.Parallel()
	w := &waiter{Agent: Agent{Log: func(string) {}}}
	if err := w.take("one"); err != nil {
		t.Error(err)
	}
	if err := w.take("one"); err != nil {
		t.Errorf("asked again: %v", err)
	}
	if err := w.take("two"); err == nil || err.Error() != "it plays for another run (one)" {
		t.Error(err)
	}
	if err := w.take(""); err == nil {
		t.Error("a run without a name has it")
	}
	w.job.cancel(nil)
}

func TestAssignmentComesInPages(t *testing.T) {
	j := newJob("run")
	defer j.cancel(nil)
	for i, page := range []struct {
		offset int
		text   string
		ok     bool
	}{{0, "ab", true}, {0, "ab", true}, {3, "x", false}, {2, "cd", true}, {0, "ab", true}, {3, "de", true}} {
		if err := j.write(page.offset, []byte(page.text)); (err == nil) != page.ok {
			t.Errorf("page %d: %v", i, err)
		}
	}
	if string(j.assigned) != "abcde" {
		t.Errorf("%q", j.assigned)
	}
}

// An agent whose run is gone, or never says what to play, frees itself.
func TestAgentGivesASilentRunUp(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	freed := make(chan string, 10)
	startAgent(t, Agent{NATSURL: url, Name: "a", patience: 300 * time.Millisecond, Log: func(line string) { freed <- line }})
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	reply, err := nc.Request(agentsSubject, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var c card
	if err := json.Unmarshal(reply.Data, &c); err != nil || c.Name != "a" || c.Build != ownBuild() || c.Run != "" {
		t.Fatalf("%s: %v", reply.Data, err)
	}
	ask := func(verb, run, data string) string {
		m := nats.NewMsg(agentSubject(c.ID, verb))
		m.Header.Set(headerRun, run)
		m.Data = []byte(data)
		reply, err := nc.RequestMsg(m, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return reply.Header.Get(headerError)
	}
	for _, tt := range []struct{ verb, run, data, want string }{
		{"look", "one", "", "it does not play for this run any more"},
		{"take", "one", "", ""},
		{"take", "two", "", "it plays for another run (one)"},
		{"look", "two", "", "it does not play for this run any more"},
		{"walk", "one", "", `unknown request "walk"`},
		{"order", "one", `{"step": 2}`, "step 2 cannot begin: step 0 is the last"},
		{"order", "one", `{"step": 1}`, "the assignment cannot be read: unexpected end of JSON input"},
		{"write", "one", `{}`, ""},
		{"order", "one", `{"step": 1}`, "the assignment says nothing to play"},
		{"order", "one", `no order`, "invalid character 'o' in literal null (expecting 'u')"},
	} {
		if got := ask(tt.verb, tt.run, tt.data); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	for line := range freed {
		if line == "run one is over" {
			break
		}
	}
	if got := ask("take", "two", ""); got != "" {
		t.Error(got)
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

// Ctrl-C at an agent: the run is invalid and says so, and has the agent's report.
func TestAgentIsStopped(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	stop := startAgent(t, Agent{NATSURL: url, Name: "b"})
	stopped := make(chan struct{})
	var once sync.Once
	r, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "gift_send" {
				once.Do(func() {
					go func() {
						defer close(stopped)
						stop()
					}()
				})
			}
			return false
		}
	})
	p := evening(t, target)
	p.Agents = Agents{Count: 2, NATSURL: url}
	result, err := p.Run(t.Context())
	if err != nil || result.Passed || result.Partial != "" || !slices.Contains(result.Invalid, "playing: agent b: the agent was stopped") {
		t.Fatalf("%+v: %v", result, err)
	}
	if len(result.Environment.Agents) != 2 {
		t.Errorf("%q", result.Environment.Agents)
	}
	<-stopped
	r.nobodyIsLeft(t)
}

// A process that is killed is missed; the others stop, and what they measured is told.
func TestAgentDies(t *testing.T) {
	t.Parallel()
	url := stacktest.NATS(t)
	startAgent(t, Agent{NATSURL: url, Name: "a"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), "LOADTEST_AGENT="+url)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	var once sync.Once
	r, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "gift_send" {
				once.Do(func() { child.Process.Kill() })
			}
			return false
		}
	})
	p := evening(t, target)
	p.Agents = Agents{Count: 2, NATSURL: url, find: time.Minute, patience: 3 * time.Second}
	result, err := p.Run(t.Context())
	if err != nil || result.Passed || len(result.Invalid) == 0 || !strings.HasPrefix(result.Invalid[0], "playing: agent child: it does not answer any more, for 3s: ") {
		t.Fatalf("%+v: %v", result, err)
	}
	if len(result.Environment.Agents) != 1 || result.Counts["offered.comment"] == 0 {
		t.Errorf("%q: %v", result.Environment.Agents, result.Counts)
	}
	r.nobodyIsLeft(t)
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
