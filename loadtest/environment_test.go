package loadtest

import (
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"livecart/session/stack"
)

func TestDescribe(t *testing.T) {
	mini, err := stack.StartMiniRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer mini.Close()
	var looks atomic.Int64
	admin := adminOf(t, 1, &looks)
	e := describe(t.Context(), Target{
		RedisURL: mini.URL(), NATSURL: "nats://127.0.0.1:1", DatabaseURL: "postgres://u:secret@127.0.0.1:1/x",
		Servers: Servers{MetricsURLs: []string{admin.URL, "http://127.0.0.1:1"}},
	})
	if e.Version == "" || e.Go != runtime.Version() || !strings.HasPrefix(e.OS, runtime.GOOS) || !strings.Contains(e.CPU, "CPU") {
		t.Errorf("%+v", e)
	}
	if want := []string{"Postgres of unknown version", "Redis (miniredis)", "NATS of unknown version"}; !slices.Equal(e.Backends, want) {
		t.Errorf("backends %q", e.Backends)
	}
	if want := []string{admin.URL + ": livecart v1.2.3 built with go1.26.8", "http://127.0.0.1:1: no answer"}; !slices.Equal(e.Servers, want) {
		t.Errorf("servers %q", e.Servers)
	}
	if len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], "miniredis") {
		t.Errorf("warnings %q", e.Warnings)
	}
	if e := describe(t.Context(), Target{}); len(e.Backends)+len(e.Servers)+len(e.Warnings) > 0 {
		t.Errorf("%+v", e)
	}
}

func TestEnvironmentLines(t *testing.T) {
	e := Environment{Version: "v1.2.3", Go: "go1.26", OS: "linux/amd64", CPU: "2 CPUs", Servers: []string{"a", "b"}, Agents: []string{"north: 4 CPUs", "south: 8 CPUs"}}
	want := []line{{"machine", "2 CPUs"}, {"system", "linux/amd64"}, {"loadtest", "v1.2.3 go1.26"}, {"servers", "a; b"}, {"agents", "north: 4 CPUs; south: 8 CPUs"}}
	if got := e.lines(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := (Environment{Go: "go1.26"}).lines(); !slices.Equal(got, []line{{"loadtest", "go1.26"}}) {
		t.Errorf("%q", got)
	}
}
