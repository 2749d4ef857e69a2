package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"livecart/proto"
)

func TestFaultLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault Fault
		want  string // "" where it is fine
	}{
		{"kill at the begin", Fault{Do: "kill gateway 1"}, ""},
		{"freeze until the end", Fault{At: time.Second, Do: "freeze redis", For: 9 * time.Second}, ""},
		{"a command at the end", Fault{At: 10 * time.Second, Run: "true"}, ""},
		{"nothing", Fault{}, "either do"},
		{"both", Fault{Do: "kill ledger", Run: "true"}, "either do"},
		{"unknown verb", Fault{Do: "drown gateway 1"}, `not "drown gateway 1"`},
		{"gateway 0", Fault{Do: "kill gateway 0"}, `not "kill gateway 0"`},
		{"gateway 100", Fault{Do: "kill gateway 100"}, `not "kill gateway 100"`},
		{"a kill that lasts", Fault{Do: "kill nats", For: time.Second}, "only a freeze lasts"},
		{"after the end", Fault{At: 10*time.Second + 1, Do: "kill nats"}, "within the 10s"},
		{"thaw after the end", Fault{At: 2 * time.Second, Do: "freeze nats", For: 9 * time.Second}, "not after 11s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.fault.check(10 * time.Second)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// sleeper is a process to do things to, and a ready file that names it.
func sleeper(t *testing.T, name string) (*exec.Cmd, Target) {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	running, err := procfs.NewProc(cmd.Process.Pid)
	if err != nil {
		t.Skip("there is no /proc here: ", err)
	}
	program, err := running.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, readyTarget(t, process{name, cmd.Process.Pid, program})
}

func readyTarget(t *testing.T, processes ...process) Target {
	t.Helper()
	data, err := json.Marshal(map[string]any{"gateways": []map[string]string{{"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}}, "room": "demo", "processes": processes})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := ReadTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestFaultsNeedSomebodyWhoCanDoThem(t *testing.T) {
	_, target := sleeper(t, "gateway 2")
	kill := []Fault{{Do: "kill gateway 2"}}
	if err := target.checkFaults(kill); err != nil {
		t.Error(err)
	}
	plain := Target{Gateways: []string{"http://a", "http://b"}}
	given := func(names ...string) Target {
		t := plain
		t.FaultCommands = map[string]string{}
		for _, name := range names {
			t.FaultCommands[name] = "true"
		}
		return t
	}
	other := readyTarget(t, process{"gateway 2", os.Getpid(), "/bin/sleep"})
	for _, tt := range []struct {
		name   string
		target Target
		faults []Fault
		want   string
	}{
		{"addresses alone", plain, kill, "kill gateway 2: nobody here can do that: point --ready-file"},
		{"a command", given("kill gateway 2"), kill, ""},
		{"a command of its own", plain, []Fault{{Run: "true"}}, ""},
		{"a command that nobody needs", given("kill gateway 2", "kill nats"), kill, `a command is given for "kill nats", which the scenario does not do`},
		{"half a freeze", given("freeze nats"), []Fault{{Do: "freeze nats", For: time.Second}}, "thaw nats: nobody here"},
		{"a gateway that is not there", target, []Fault{{Do: "kill gateway 3"}}, "kill gateway 3: the target has 2 gateways"},
		{"a process that is not named", target, []Fault{{Do: "kill ledger"}}, "names no process of ledger; start livecart dev with --processes"},
		{"an old ready file", other, kill, "and not /bin/sleep of gateway 2"},
		{"a process that has ended", readyTarget(t, process{"gateway 2", 1 << 30, "x"}), kill, "is not there"},
		{"a process that is being started", readyTarget(t, process{"gateway 2", 0, "x"}), kill, "gateway 2 does not run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.target.checkFaults(tt.faults)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFaultsAreDoneToProcesses(t *testing.T) {
	cmd, target := sleeper(t, "redis")
	state := func() string {
		running, err := procfs.NewProc(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := running.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return stat.State
	}
	for _, step := range []struct{ do, state string }{{"freeze redis", "T"}, {"thaw redis", "S"}, {"kill redis", "Z"}} {
		if err := target.cause(t.Context(), Fault{Do: step.do}); err != nil {
			t.Fatal(err)
		}
		if !until(t.Context(), 10*time.Second, func() bool { return state() == step.state }) {
			t.Errorf("after %s it is %s", step.do, state())
		}
	}
	cmd.Wait()
	if err := target.cause(t.Context(), Fault{Do: "kill redis"}); err == nil {
		t.Error("a process that is gone was killed")
	}
}

func TestCommandsOfFaults(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	target := Target{FaultCommands: map[string]string{"kill nats": "echo killed >" + made}}
	if err := target.cause(t.Context(), Fault{Do: "kill nats"}); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(made); string(said) != "killed\n" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	err := target.cause(t.Context(), Fault{Run: "echo no such thing >&2; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3: no such thing") {
		t.Errorf("%v", err)
	}
}

// The end of a run thaws what is frozen, and does nothing else.
func TestFaultsEndWithTheRun(t *testing.T) {
	dir := t.TempDir()
	target := Target{FaultCommands: map[string]string{
		"freeze nats": "echo >" + filepath.Join(dir, "frozen"), "thaw nats": "echo >" + filepath.Join(dir, "thawed"), "kill redis": "echo >" + filepath.Join(dir, "killed"),
	}}
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var marks []Mark
	var failed []string
	go func() {
		defer close(done)
		marks, failed = target.afflict(ctx, time.Now(), []Fault{{Do: "freeze nats", For: time.Hour}, {At: time.Minute, Do: "kill redis"}}, NewMeter(time.Now()))
	}()
	if !until(t.Context(), 10*time.Second, func() bool { return exists("frozen") }) {
		t.Error("nothing was frozen")
	}
	cancel()
	<-done
	if len(failed) > 0 || len(marks) != 2 || marks[0].Text != "fault: freeze nats" || marks[1].Text != "fault: thaw nats" || !exists("thawed") || exists("killed") {
		t.Errorf("%v, %v", marks, failed)
	}
}

func TestPausesBeforeComingBack(t *testing.T) {
	spread, rush := retries{within: 4 * time.Second, seed: 1}, retries{seed: 1}
	sum := time.Duration(0)
	for i := range uint32(1000) {
		first := spread.pause(i, 1)
		if first < 0 || first >= 4*time.Second || first != spread.pause(i, 1) || rush.pause(i, 1) != 0 {
			t.Fatalf("viewer %d waits %v", i, first)
		}
		sum += first
		for try, bound := range map[int]time.Duration{2: 500 * time.Millisecond, 3: time.Second, 6: 8 * time.Second, 60: 8 * time.Second} {
			if d := spread.pause(i, try); d < bound/4 || d > bound || rush.pause(i, try) != bound {
				t.Fatalf("viewer %d waits %v and %v before try %d", i, d, rush.pause(i, try), try)
			}
		}
	}
	if mean := sum / 1000; mean < 1800*time.Millisecond || mean > 2200*time.Millisecond {
		t.Errorf("the mean is %v", mean)
	}
}

// twoGateways is a room with a second gateway and a fault that kills that.
func twoGateways(t *testing.T, change func(*room)) (*room, *gateway, Target) {
	t.Helper()
	r, target := openRoom(t, change)
	second := serve(t, func(g *gateway) {
		g.joined, g.answer, g.left = r.enter, r.do, r.exit
	})
	target.Gateways = append(target.Gateways, second.url)
	fifo := filepath.Join(t.TempDir(), "kill")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the pipe
		defer close(done)
		if _, err := pipe.Read(make([]byte, 1)); err == nil {
			second.kill()
		}
	}()
	t.Cleanup(func() {
		pipe.Close()
		<-done
	})
	target.FaultCommands = map[string]string{"kill gateway 2": "echo >" + fifo}
	return r, second, target
}

// death is an evening in which a gateway dies while the host speaks.
func death(t *testing.T, target Target) Play {
	t.Helper()
	p := evening(t, target)
	s := p.Plan.Scenario
	s.Gifts = 100
	s.Faults, s.Reconnect, s.Within = []Fault{{At: 700 * time.Millisecond, Do: "kill gateway 2"}}, true, 200*time.Millisecond
	p.Plan = plan(t, s, 40)
	return p
}

// newsEvery has a room tell a numbered event with each so many likes.
func newsEvery(r *room, n int) func(*proto.Command) bool {
	seen := 0
	return func(cmd *proto.Command) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if seen++; cmd.Kind() == "like_send" && seen%n == 0 {
			r.tellAllNumbered(&proto.Event{Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{}}})
		}
		return false
	}
}

func TestGatewayDeath(t *testing.T) {
	t.Parallel()
	r, second, target := twoGateways(t, func(r *room) { r.onCommand = newsEvery(r, 5) })
	result, err := death(t, target).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !result.Passed {
		t.Errorf("%s: %+v, %v", result.Verdict(), result.Checks, result.Invalid)
	}
	found := map[string]bool{}
	for _, c := range result.Checks {
		found[c.Name] = c.OK
	}
	if !found["came_back"] || !found["events_gapless"] || !found["visitors_gapless"] {
		t.Errorf("%v", found)
	}
	if n := len(result.Marks); n != 1 || result.Marks[0].Text != "fault: kill gateway 2" {
		t.Errorf("%+v", result.Marks)
	}
	back := int64(0)
	for _, l := range result.Latency {
		if l.Name == "back" {
			back = l.Count
		}
	}
	if lost := second.dropped(); lost < 2 || back == 0 || back > lost || result.Counts["reconnects"] < back {
		t.Errorf("%d connections were lost, %d came back, %d reconnects", lost, back, result.Counts["reconnects"])
	}
	r.nobodyIsLeft(t)
}

// A server that leaves out one event when viewers resume is found out.
func TestGatewayDeathFindsALostEvent(t *testing.T) {
	t.Parallel()
	_, _, target := twoGateways(t, func(r *room) { r.onCommand, r.forgets = newsEvery(r, 2), 1 })
	result, err := death(t, target).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range result.Checks {
		if c.Name == "events_gapless" && c.OK {
			t.Errorf("%+v", c)
		}
	}
	if result.Passed {
		t.Error("it passed")
	}
}

// With nobody to come back to, the run fails.
func TestGatewayDeathOfTheOnlyOne(t *testing.T) {
	t.Parallel()
	_, _, target := twoGateways(t, nil)
	target.FaultCommands = nil
	p := death(t, target)
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "scenario test: kill gateway 2: nobody here can do that") {
		t.Errorf("%v", err)
	}
	target.FaultCommands = map[string]string{"kill gateway 2": "exit 1"}
	p.Target = target
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Invalid) != 1 || !strings.Contains(fmt.Sprint(result.Invalid), "fault failed: kill gateway 2: exit 1: exit status 1") {
		t.Errorf("%v", result.Invalid)
	}
}
