//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

// command is loadtest as a process of its own, with its main function, signals and exit code.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "LOADTEST_RUN_AS_COMMAND=1")
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// answering is a server that answers every handshake by itself.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func serving(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

// hall is a gateway that welcomes everybody and says no more.
func hall(t *testing.T, subprotocols []string, left func()) string {
	t.Helper()
	var handlers sync.WaitGroup
	t.Cleanup(handlers.Wait)
	upgrader := websocket.Upgrader{Subprotocols: subprotocols}
	return serving(t, func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		if format, ok := proto.FormatOf(conn.Subprotocol()); ok {
			welcome := &proto.ServerFrame{Events: []*proto.Event{{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{Seq: 1}}}}}
			data, err := proto.Encode(format, welcome)
			if err != nil {
				t.Error(err)
			}
			kind := websocket.BinaryMessage
			if format == proto.JSON {
				kind = websocket.TextMessage
			}
			conn.WriteMessage(kind, data)
		}
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		left()
	})
}

// What operators get wrong, each told by the process in one line, and nothing is left that looks like a result.
func TestProcessTellsWhatIsWrong(t *testing.T) {
	scenario := filepath.Join(t.TempDir(), "evening.yaml")
	if err := os.WriteFile(scenario, []byte("stages:\n  - {for: 10s, to: 100%}\nstay: {mean: long}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(url string, more ...string) []string {
		return append([]string{"--url", url, "--host-token", "h", "--jwt-key-file", file(t, key)}, more...)
	}
	gone := at("http://127.0.0.1:1")
	const expired = `{"reason": "token_expired", "detail": "the token is too old"}`
	const strange = `{"reason": "malformed_frame", "detail": "no such subprotocol"}`
	for _, tt := range []struct {
		name, scenario string
		args           []string
		want           string
	}{
		{"unknown scenario", "storm", gone, `there is no scenario "storm": there are smoke, `},
		{"unknown metric", "steady", append(gone, "--threshold", "p99(delivery.chatt)<1s"), `no run measures "delivery.chatt": did you mean delivery.chat?`},
		{"malformed file", scenario, gone, scenario + `:3:14: "long" is no time from 100ms to 24h0m0s`},
		{"nobody at the address", "smoke", gone, "joining: join ws://127.0.0.1:1/v1/rooms/demo/ws: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"nobody at a scenario's", "steady", gone, "joining: join ws://127.0.0.1:1/v1/rooms/demo/ws: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"token refused", "steady", at(answering(t, http.StatusUnauthorized, expired)), "401 Unauthorized: token_expired: the token is too old"},
		{"viewers' tokens refused", "fanout", at(answering(t, http.StatusUnauthorized, expired), "--viewers", "80"), "80 of 80 viewers could not join, the first: join ws://"},
		{"another version", "steady", at(hall(t, []string{"livecart.v9.proto"}, func() {})), `the server speaks "", not livecart.v1.json, which is another version of the protocol`},
		{"another version, refused", "smoke", at(answering(t, http.StatusBadRequest, strange)), "malformed_frame: no such subprotocol; this program asked for livecart.v1.json: is the server of another version?"},
		{"no server of ours", "smoke", at(answering(t, http.StatusNotFound, "nothing here")), `404 Not Found: "nothing here"`},
		{"disk full for the report", "steady", append(gone, "--html", "/dev/full"), "--html: write /dev/full: no space left on device"},
		{"disk full for the result", "smoke", append(gone, "--json", "/dev/full"), "--json: write /dev/full: no space left on device"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report := filepath.Join(t.TempDir(), "report.json")
			args := append([]string{"run", tt.scenario}, tt.args...)
			if !strings.Contains(tt.name, "disk full") {
				args = append(args, "--json", report)
			}
			cmd, stdout, stderr := command(t, args...)
			cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != exitInvalid {
				t.Errorf("exit code %d", code)
			}
			line := lastLine(stderr.String())
			if !strings.HasPrefix(line, "loadtest: ") || !strings.Contains(line, tt.want) || strings.Count(line, "\n") != 1 {
				t.Errorf("%q does not say %q in one line", line, tt.want)
			}
			if stdout.Len() > 0 {
				t.Errorf("printed %q", stdout)
			}
			if _, err := os.Stat(report); !os.IsNotExist(err) {
				t.Errorf("a report was left: %v", err)
			}
		})
	}
}

// Ctrl-C in the middle of a run ends it cleanly: viewers leave, and summary and reports say how far it came.
func TestCtrlCInTheMiddle(t *testing.T) {
	const viewers = 3
	var left sync.WaitGroup
	left.Add(viewers)
	url := hall(t, proto.Subprotocols[:], left.Done)
	folder := t.TempDir()
	result, page := filepath.Join(folder, "result.json"), filepath.Join(folder, "report.html")
	cmd, stdout, _ := command(t, "run", "fanout", "--idle", "--for", "10m", "--viewers", "3", "--url", url, "--host-token", "h",
		"--jwt-key-file", file(t, key), "--json", result, "--html", page)
	cmd.Stderr = nil
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := new(bytes.Buffer)
	interrupted := false
	buffer := make([]byte, 1024)
	for {
		n, err := stderr.Read(buffer)
		said.Write(buffer[:n])
		if !interrupted && strings.Contains(said.String(), "idling") {
			interrupted = true
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInvalid {
		t.Errorf("exit code %d", code)
	}
	left.Wait() // every viewer has
	if got := lastLine(said.String()); got != "loadtest: interrupted, nothing was judged\n" {
		t.Errorf("said %q", got)
	}
	if got := stdout.String(); !strings.HasSuffix(got, "\npartial: the run was interrupted while idling\nINTERRUPTED\n") {
		t.Errorf("printed %q", got)
	}
	if got, err := readResult(result); err != nil || got.Partial != "the run was interrupted while idling" || got.Passed || got.Viewers != viewers || got.Seconds == 0 {
		t.Errorf("%+v: %v", got, err)
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "the run was interrupted while idling") || !strings.Contains(string(html), "INTERRUPTED") {
		t.Errorf("the report does not say that it is partial: %v", err)
	}
}

// Agents are processes that wait for a run, play for it, and end with Ctrl-C.
func TestAgentProcesses(t *testing.T) {
	const viewers = 4
	var left sync.WaitGroup
	left.Add(viewers)
	url, nats := hall(t, proto.Subprotocols[:], left.Done), stacktest.NATS(t)
	var agents []*exec.Cmd
	for _, name := range []string{"north", "south"} {
		cmd, stdout, _ := command(t, "agent", "--nats", nats, "--name", name)
		cmd.Stderr = nil
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewReader(stderr)
		if line, err := said.ReadString('\n'); line != "agent "+name+" waits for runs at "+nats+"\n" {
			t.Errorf("said %q: %v", line, err)
		}
		go io.Copy(io.Discard, said) // ends with the process
		defer func() {
			if stdout.Len() > 0 {
				t.Errorf("printed %q", stdout)
			}
		}()
		agents = append(agents, cmd)
	}
	result := filepath.Join(t.TempDir(), "result.json")
	cmd, stdout, stderr := command(t, "run", "fanout", "--idle", "--for", "1s", "--viewers", "4", "--most-late", "1m", "--url", url, "--host-token", "h",
		"--jwt-key-file", file(t, key), "--agents", "2", "--nats", nats, "--json", result)
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitPassed {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	left.Wait() // every viewer has
	got, err := readResult(result)
	if err != nil || !got.Passed || got.Counts["sent.join"] != viewers || len(got.Environment.Agents) != 2 ||
		!strings.HasPrefix(got.Environment.Agents[0], "north: ") || !strings.HasPrefix(got.Environment.Agents[1], "south: ") {
		t.Errorf("%+v: %v", got, err)
	}
	for _, agent := range agents {
		if err := agent.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := agent.Wait(); err != nil {
			t.Errorf("agent: %v", err)
		}
	}
}
