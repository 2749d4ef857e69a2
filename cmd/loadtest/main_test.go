package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"livecart/loadtest"
)

// TestMain turns this binary into loadtest itself where a test runs it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("LOADTEST_RUN_AS_COMMAND") != "" {
		main()
	}
	for _, name := range []string{"LIVECART_HOST_TOKEN", "LIVECART_JWT_KEY_FILE", "DATABASE_URL"} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// file writes a file of the test's own.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const key = "0123456789abcdef0123456789abcdef"

// nobody is a ready file of a gateway that is gone.
func nobody(t *testing.T) string {
	t.Helper()
	return file(t, `{"gateways": [{"url": "http://127.0.0.1:1"}], "room": "demo", "host_token": "h", "jwt_key_file": "`+file(t, key)+`"}`)
}

func TestBadInputIsToldInOneLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such", "file")
	url := []string{"run", "smoke", "--url", "http://127.0.0.1:1"}
	with := func(args []string, more ...string) []string { return append(args[:len(args):len(args)], more...) }
	ready := []string{"run", "smoke", "--ready-file", nobody(t)}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, `expected one of "run", "agent", "list", "show"`},
		{"unknown command", []string{"walk"}, `unexpected argument walk`},
		{"no scenario", []string{"run", "--url", "http://127.0.0.1:1"}, `expected "<scenario>"`},
		{"unknown flag", with(ready, "--loud"), "unknown flag --loud"},
		{"no target", []string{"run", "smoke"}, "missing flags: --ready-file=FILE or --url=URL"},
		{"two targets", with(ready, "--url", "http://127.0.0.1:1"), "can't be used together"},
		{"missing ready file", []string{"run", "smoke", "--ready-file", missing}, "ready file: open " + missing + ": no such file"},
		{"folder for a ready file", []string{"run", "smoke", "--ready-file", t.TempDir()}, "is a directory"},
		{"malformed ready file", []string{"run", "smoke", "--ready-file", file(t, "ready!")}, "invalid character 'r'"},
		{"ready file without gateway", []string{"run", "smoke", "--ready-file", file(t, `{"room": "demo"}`)}, "no gateway is given"},
		{"room beside a ready file", with(ready, "--room", "other"), "--room, --tokens-file and --ca-file go with --url"},
		{"tokens beside a ready file", with(ready, "--tokens-file", file(t, "a")), "--room, --tokens-file and --ca-file go with --url"},
		{"no address", []string{"run", "smoke", "--url", "localhost", "--host-token", "h", "--jwt-key-file", file(t, key)}, `gateway "localhost" is no http:// or https:// address`},
		{"no host token", with(url, "--jwt-key-file", file(t, key)), "a host's token is needed: --host-token or LIVECART_HOST_TOKEN"},
		{"no viewers' tokens", with(url, "--host-token", "h"), "viewers need tokens: --tokens-file, or --jwt-key-file"},
		{"missing tokens file", with(url, "--host-token", "h", "--tokens-file", missing), "--tokens-file: open " + missing},
		{"authorities beside a ready file", with(ready, "--ca-file", file(t, "a")), "--ca-file go with --url"},
		{"no authority", []string{"run", "smoke", "--url", "https://127.0.0.1:1", "--host-token", "h", "--jwt-key-file", file(t, key), "--ca-file", file(t, "a")}, "holds no PEM certificate"},
		{"malformed token", with(url, "--host-token", "h", "--tokens-file", file(t, "\nann\n")), ": line 2: no token: token is malformed"},
		{"database gone", with(url, "--host-token", "h", "--jwt-key-file", file(t, key), "--database-url", "postgres://u:secret@127.0.0.1:1/x"), "database: "},
		{"agent without NATS", []string{"agent"}, "missing flags: --nats=URL"},
		{"agent of a NATS that is away", []string{"agent", "--nats", "nats://u:secret@127.0.0.1:1"}, "NATS at nats://u:xxxxx@127.0.0.1:1: nats: no servers available"},
		{"agents of a NATS that is away", []string{"run", "steady", "--ready-file", nobody(t), "--agents", "2", "--nats", "nats://127.0.0.1:1"}, "NATS at nats://127.0.0.1:1: nats: no servers available"},
		{"agents without NATS", []string{"run", "steady", "--ready-file", nobody(t), "--agents", "2"}, "--agents needs --nats, where they wait"},
		{"NATS without agents", []string{"run", "steady", "--ready-file", nobody(t), "--nats", "nats://127.0.0.1:1"}, "--nats goes with --agents"},
		{"no agents", []string{"run", "steady", "--ready-file", nobody(t), "--agents", "0"}, "--agents is above 0"},
		{"more agents than there can be", []string{"run", "steady", "--ready-file", nobody(t), "--agents", "101", "--nats", "nats://127.0.0.1:1"}, "a run has 1 to 100 agents, not 101"},
		{"smoke with agents", with(ready, "--agents", "2"), "--agents are for scenarios with a schedule, which smoke has not"},
		{"faults with agents", []string{"run", "gateway-death", "--ready-file", nobody(t), "--fault-command", "kill gateway 2=true", "--agents", "2", "--nats", "nats://127.0.0.1:1"}, "gateway-death: "},
		{"no number", with(ready, "--viewers", "many"), `--viewers: expected a valid 64 bit int but got "many"`},
		{"no rate", []string{"run", "fanout", "--ready-file", nobody(t), "--rate", "0"}, "--rate, --bytes and --join-rate are above 0"},
		{"smoke with a rate", with(ready, "--rate", "2"), "--rate, --bytes, --idle and --join-rate are for fanout"},
		{"fanout with a seed", []string{"run", "fanout", "--ready-file", nobody(t), "--seed", "2"}, "--seed and --history are not for fanout"},
		{"too few posters", []string{"run", "fanout", "--ready-file", nobody(t), "--viewers", "74"}, "50 a second need at least 75 viewers, not 74"},
		{"nobody to join", []string{"run", "fanout", "--ready-file", nobody(t), "--viewers", "75"}, "joining: 75 of 75 viewers could not join, the first: join ws://127.0.0.1:1/"},
		{"no viewers", with(ready, "--viewers", "0"), "--viewers, --pieces and --attempts are above 0"},
		{"missing scenario file", []string{"run", "no.yaml", "--ready-file", nobody(t)}, "scenario: open no.yaml: no such file"},
		{"smoke with a schedule", with(ready, "--seed", "2"), "--for, --seed and --most-late are for scenarios with a schedule"},
		{"scenario with pieces", []string{"run", "steady", "--pieces", "2", "--ready-file", nobody(t)}, "--pieces and --attempts are for smoke"},
		{"scenario without viewers", []string{"run", "steady", "--viewers", "0", "--ready-file", nobody(t)}, "--viewers, --for and --most-late are above 0"},
		{"scenario too large", []string{"run", "steady", "--viewers", "1000001", "--ready-file", nobody(t)}, "scenario steady: viewers are 1 to 1000000, not 1000001"},
		{"scenario too short", []string{"run", "steady", "--for", "0.2s", "--ready-file", nobody(t)}, "scenario steady: stage 1 takes 100ms"},
		{"rooms of one room", []string{"run", "steady", "--ready-file", nobody(t), "--rooms", "3"}, "--rooms is for scenarios of many rooms"},
		{"no rooms", []string{"run", "many-rooms", "--ready-file", nobody(t), "--rooms", "0"}, "--rooms is above 0"},
		{"rooms by agents", []string{"run", "many-rooms", "--ready-file", nobody(t), "--agents", "2"}, "agents are not for scenarios of many rooms"},
		{"more rooms than viewers", []string{"run", "many-rooms", "--ready-file", nobody(t), "--rooms", "30", "--viewers", "20"}, "30 rooms have at least as many viewers, not 20"},
		{"rooms of smoke", with(ready, "--rooms", "2"), "--rooms is for scenarios of many rooms"},
		{"fault of smoke", with(ready, "--fault-command", "kill gateway 2=true"), "--fault-command is for scenarios with faults"},
		{"fault without command", []string{"run", "steady", "--ready-file", nobody(t), "--fault-command", "kill gateway 2"}, `"kill gateway 2" is not FAULT=COMMAND`},
		{"fault twice", []string{"run", "steady", "--ready-file", nobody(t), "--fault-command", "kill nats=true", "--fault-command", "kill nats=false"}, "kill nats is given twice"},
		{"fault that nobody asks for", []string{"run", "steady", "--ready-file", nobody(t), "--fault-command", "kill nats=true"}, `a command is given for "kill nats", which the scenario does not do`},
		{"fault that nobody can do", []string{"run", "gateway-death", "--ready-file", nobody(t)}, "scenario gateway-death: kill gateway 2: the target has 1 gateways"},
		{"show of nothing", []string{"show", "storm"}, `there is no scenario "storm"`},
		{"too few viewers", with(ready, "--viewers", "19"), "at least 20 viewers, not 19"},
		{"more pieces than buyers", with(ready, "--pieces", "201"), "200 viewers can buy 1 to 200, not 201"},
		{"more viewers than files", with(ready, "--viewers", "2147483647"), "2147483647 viewers need 2147483797 open files"},
		{"result into no folder", with(ready, "--json", missing), "--json: open " + missing + ": no such file"},
		{"history into no folder", with(ready, "--history", missing), "--history: open " + missing + ": no such file"},
		{"no result to compare", []string{"compare", missing, missing}, "open " + missing + ": no such file"},
		{"one result to compare", []string{"compare", file(t, `{"version": 1}`)}, `expected "<b>"`},
		{"no result in the file", []string{"compare", file(t, "ready!"), missing}, ": no result of a run: invalid character"},
		{"result of another version", []string{"compare", file(t, `{"version": 9}`), missing}, ": the result has version 9, this program reads version 1"},
		{"no history to check", []string{"check", "--database-url", "postgres://127.0.0.1:1/x"}, `expected "<history> ..."`},
		{"history without database", []string{"check", file(t, "")}, "missing flags: --database-url=URL"},
		{"missing history", []string{"check", missing, "--database-url", "postgres://127.0.0.1:1/x"}, "open " + missing},
		{"empty history", []string{"check", file(t, ""), "--database-url", "postgres://127.0.0.1:1/x"}, " has no record"},
		{"malformed history", []string{"check", file(t, "{}\n{"), "--database-url", "postgres://127.0.0.1:1/x"}, ": line 1: "},
		{"no threshold", with(ready, "--threshold", "fast"), `--threshold: threshold "fast": position 1: expected p0 to p100, max, count, rate, gauge or last, not "fast"`},
		{"server process gone", with(ready, "--server-pid", "999999999"), "server process 999999999: "},
		{"server without metrics", with(ready, "--metrics-url", "http://127.0.0.1:1"), "server metrics: "},
		{"server of a ready file without metrics", []string{"run", "smoke", "--ready-file", file(t, `{"gateways": [{"url": "http://127.0.0.1:1", "admin": "http://127.0.0.1:1"}], "room": "demo", "host_token": "h", "jwt_key_file": "`+file(t, key)+`"}`)}, "joining: join ws://127.0.0.1:1/"},
		{"report into no folder", with(ready, "--html", missing), "--html: open " + missing + ": no such file"},
		{"result into a folder", with(ready, "--json", t.TempDir()), "is a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != exitInvalid {
				t.Errorf("exit code %d", code)
			}
			line := lastLine(stderr.String())
			if !strings.HasPrefix(line, "loadtest: ") || !strings.Contains(line, tt.want) || strings.Contains(line, "secret") {
				t.Errorf("%q does not say %q", line, tt.want)
			}
			if stdout.Len() > 0 {
				t.Errorf("output: %s", stdout.String())
			}
		})
	}
}

// lastLine returns what is said after the progress, which must be one line.
func lastLine(text string) string {
	var said []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "  viewers ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, "")
}

// A place for the result that cannot be written must be found before anybody joins.
func TestResultPlaceIsFoundOutFirst(t *testing.T) {
	joined := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { joined = true }))
	defer server.Close()
	var stdout, stderr bytes.Buffer
	args := []string{"run", "smoke", "--url", server.URL, "--host-token", "h", "--jwt-key-file", file(t, key), "--json", t.TempDir()}
	if code := run(t.Context(), args, &stdout, &stderr); code != exitInvalid || joined {
		t.Errorf("exit code %d, joined %v: %s", code, joined, stderr.String())
	}
}

// A run without a result leaves none, nor an older one, that could be taken for its own.
func TestNoResultLeavesNoFile(t *testing.T) {
	path := file(t, `{"passed": true}`)
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"run", "smoke", "--ready-file", nobody(t), "--json", path}, &stdout, &stderr); code != exitInvalid {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if code := run(t.Context(), []string{"run", "smoke", "--ready-file", nobody(t), "--json", os.DevNull}, &stdout, &stderr); code != exitInvalid {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if _, err := os.Stat(os.DevNull); err != nil {
		t.Fatal(err)
	}
}

func TestResultFile(t *testing.T) {
	path := file(t, strings.Repeat("older ", 1000))
	f, err := openResult("--json", path, (*loadtest.Result).WriteJSON)
	if err != nil {
		t.Fatal(err)
	}
	// What a run leaves that is killed.
	if got, err := readResult(path); err != nil || got.Passed || got.Partial != "the run has not ended" {
		t.Errorf("%+v: %v", got, err)
	}
	if err := f.finish(&loadtest.Result{Version: loadtest.ResultVersion, Scenario: "smoke", Passed: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := readResult(path); err != nil || !got.Passed || got.Scenario != "smoke" || got.Partial != "" {
		t.Errorf("%+v: %v", got, err)
	}
}

// An interrupted run is told as far as it came, and marked so.
func TestInterruptedIsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel() // as Ctrl-C does
		<-release
	}))
	defer server.Close()
	defer close(release)
	path := file(t, "")
	var stdout, stderr bytes.Buffer
	args := []string{"run", "smoke", "--url", server.URL, "--host-token", "h", "--jwt-key-file", file(t, key), "--json", path}
	if code := run(ctx, args, &stdout, &stderr); code != exitInvalid {
		t.Errorf("exit code %d", code)
	}
	if got := lastLine(stderr.String()); got != "loadtest: interrupted, nothing was judged\n" {
		t.Errorf("said %q", got)
	}
	if got := stdout.String(); !strings.HasSuffix(got, "\npartial: the run was interrupted while joining\nINTERRUPTED\n") {
		t.Errorf("printed %q", got)
	}
	if got, err := readResult(path); err != nil || got.Partial != "the run was interrupted while joining" || got.Passed {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestVerdictsBecomeExitCodes(t *testing.T) {
	held, broken := loadtest.Check{Name: "a", OK: true, Detail: "fine"}, loadtest.Check{Name: "b", Detail: "oversold"}
	for name, tt := range map[string]struct {
		result loadtest.Result
		code   int
		says   string // on stdout
	}{
		"passed":      {loadtest.Result{Passed: true, Checks: []loadtest.Check{held}}, exitPassed, "\npassed\n"},
		"failed":      {loadtest.Result{Checks: []loadtest.Check{held, broken}}, exitFailed, "\nFAILED\n"},
		"invalid":     {loadtest.Result{Checks: []loadtest.Check{held}, Invalid: []string{"late"}}, exitInvalid, "\ninvalid: late\nINVALID\n"},
		"interrupted": {loadtest.Result{Partial: "Ctrl-C"}, exitInvalid, "\npartial: Ctrl-C\nINTERRUPTED\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			path := file(t, "")
			files, err := reportFlags{JSON: path}.open()
			if err != nil {
				t.Fatal(err)
			}
			tt.result.Version = loadtest.ResultVersion
			err = files.tell(&tt.result, &stdout)
			if code := exitCode(t.Context(), err, &stderr); code != tt.code {
				t.Errorf("exit code %d", code)
			}
			if !strings.HasSuffix(stdout.String(), tt.says) || (stderr.Len() == 0) != tt.result.Passed {
				t.Errorf("printed %q, said %q", stdout.String(), stderr.String())
			}
			if got, err := readResult(path); err != nil || got.Verdict() != tt.result.Verdict() {
				t.Errorf("%+v: %v", got, err)
			}
		})
	}
}

// A disk that is full at the end takes neither the summary nor the verdict.
func TestFullDiskLosesNoSummary(t *testing.T) {
	path := file(t, "")
	f, err := openResult("--json", path, (*loadtest.Result).WriteJSON)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	f.write = func(*loadtest.Result, io.Writer) error { return full }
	other, err := openResult("--html", file(t, ""), (*loadtest.Result).WriteJSON)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	err = reports{f, other}.tell(&loadtest.Result{Version: loadtest.ResultVersion, Checks: []loadtest.Check{{Name: "b", Detail: "oversold"}}}, &stdout)
	if code := exitCode(t.Context(), err, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "--json: no space left on device") || !strings.HasSuffix(stdout.String(), "\nFAILED\n") {
		t.Errorf("said %q, printed %q", stderr.String(), stdout.String())
	}
	if got, err := readResult(other.path); err != nil || got.Verdict() != "FAILED" {
		t.Errorf("the other report: %+v: %v", got, err)
	}
}

func TestFigures(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"figures"}, &stdout, &stderr); code != exitPassed || !strings.Contains(stdout.String(), "delivery.chat") {
		t.Errorf("exit code %d, printed %q, said %q", code, stdout.String(), stderr.String())
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != exitPassed || stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, said %q", args, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), "Usage: loadtest") {
			t.Errorf("%v: %s", args, stdout.String())
		}
	}
}

func TestEnoughDescriptors(t *testing.T) {
	for _, tt := range []struct {
		viewers int
		limit   uint64
		enough  bool
	}{
		{200, 350, true}, {200, 349, false}, {1, 0, false}, {200, 1<<64 - 1, true}, {-1, 0, true},
	} {
		err := enoughDescriptors(tt.viewers, tt.limit)
		if (err == nil) != tt.enough {
			t.Errorf("%d viewers with %d files: %v", tt.viewers, tt.limit, err)
		}
	}
}

// A soft limit is raised as far as it goes; a hard one that is too low is told.
func TestDescriptorLimits(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ ulimit, want string }{
		"soft": {"ulimit -Sn 60", "connection refused"},
		"hard": {"ulimit -n 340", "200 viewers need 350 open files and the hard limit is 340: raise it (on Linux with sudo prlimit --pid $$ --nofile=350 in this shell, elsewhere with ulimit -Hn) or take fewer viewers"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", tt.ulimit+` && exec "$0" run smoke --ready-file "$1"`, self, nobody(t))
			cmd.Env = append(os.Environ(), "LOADTEST_RUN_AS_COMMAND=1")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != exitInvalid || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
