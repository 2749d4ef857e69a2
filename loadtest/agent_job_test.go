package loadtest

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

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
