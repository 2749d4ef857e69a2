package loadtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

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
