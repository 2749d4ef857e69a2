package stack

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// shell is a command that runs a script under a guard, in a folder which the guard is to remove.
func shell(t *testing.T, script string) command {
	t.Helper()
	as, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := as.own(dir); err != nil {
		t.Fatal(err)
	}
	return command{path: "/bin/sh", args: []string{"-c", script, "sh", dir}, as: as, signal: "TERM", log: filepath.Join(t.TempDir(), "log"), remove: dir}
}

// obedient ends at SIGTERM and leaves word of it; stubborn does not end; hasty
// ends by itself.
const (
	obedient = `trap 'echo asked to end; exit 0' TERM; echo listening; while :; do sleep 0.01; done`
	stubborn = `trap '' TERM INT; echo listening; while :; do sleep 0.01; done`
	hasty    = `echo no such luck >&2; exit 3`
)

func TestGuardEndsItsServer(t *testing.T) {
	for _, test := range []struct {
		name, script   string
		end            func(g *guard) error
		wantErr        string // part of it
		wantLog        string
		wantFolderKept bool
	}{
		{"stop", obedient, func(g *guard) error { return g.stop(5*time.Second, false) }, "", "asked to end", false},
		{"stop and keep the folder", obedient, func(g *guard) error { return g.stop(5*time.Second, true) }, "", "asked to end", true},
		{"stop one that does not listen", stubborn, func(g *guard) error { return g.stop(50*time.Millisecond, false) }, "was killed", "", false},
		{"kill", obedient, func(g *guard) error { return g.kill() }, "", "", true},
		{"the pipe closes, as when the process dies", obedient, func(g *guard) error {
			g.pipe.Close()
			if !g.ended(5 * time.Second) {
				t.Error("the server lives on")
			}
			return g.stop(time.Second, false)
		}, "", "asked to end", false},
		{"it ended by itself", hasty, func(g *guard) error {
			if !g.ended(5 * time.Second) {
				t.Error("not seen to end")
			}
			return g.stop(time.Second, false)
		}, "", "no such luck", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := shell(t, test.script)
			g, err := c.start()
			if err != nil {
				t.Fatal(err)
			}
			for test.script != hasty && !strings.Contains(g.lastWords(), "listening") {
				if g.ended(5 * time.Millisecond) {
					t.Fatalf("ended at once; %s", g.lastWords())
				}
			}
			err = test.end(g)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("error %v, want %q", err, test.wantErr)
			}
			if !gone(g.pid, 0) {
				t.Errorf("server %d is still there", g.pid)
			}
			if words := g.lastWords(); test.wantLog != "" && !strings.Contains(words, test.wantLog) {
				t.Errorf("log: %s; want %q", words, test.wantLog)
			}
			if _, err := os.Stat(c.remove); (err == nil) != test.wantFolderKept {
				t.Errorf("folder: %v, want kept %v", err, test.wantFolderKept)
			}
			if err := g.stop(time.Second, false); err != nil {
				t.Errorf("a second stop: %v", err)
			}
		})
	}
}

func TestGuardThatNobodyHoldsKeepsItsServer(t *testing.T) {
	c := shell(t, obedient)
	pid := func() int {
		g, err := c.start()
		if err != nil {
			t.Fatal(err)
		}
		return g.pid
	}()
	for range 3 {
		runtime.GC()
	}
	if gone(pid, 100*time.Millisecond) {
		t.Error("the server ended with its guard's last reference")
	}
	running.Range(func(held, _ any) bool {
		if g := held.(*guard); g.pid == pid {
			if err := g.stop(5*time.Second, false); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if !gone(pid, 0) {
		t.Error("the server was not held, or does not end")
	}
}

func TestGuardCannotStart(t *testing.T) {
	c := shell(t, obedient)
	c.path = "/nonexistent/server"
	g, err := c.start()
	if err != nil {
		t.Fatal(err)
	}
	if !g.ended(5*time.Second) || !strings.Contains(g.lastWords(), "/nonexistent/server") {
		t.Errorf("want an end with the reason in the log; %s", g.lastWords())
	}
	if err := g.stop(time.Second, false); err != nil {
		t.Error(err)
	}
}

func TestServersDoNotInheritTheUsersPostgresVariables(t *testing.T) {
	t.Setenv("PGDATA", "/elsewhere")
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	g, err := shell(t, `env`).start()
	if err != nil {
		t.Fatal(err)
	}
	if !g.ended(5*time.Second) || !strings.Contains(g.lastWords(), "LC_ALL=C") {
		t.Fatalf("want an end and the environment; %s", g.lastWords())
	}
	if err := g.stop(5*time.Second, false); err != nil {
		t.Error(err)
	}
	if words := g.lastWords(); strings.Contains(words, "PGDATA") || strings.Contains(words, "tr_TR") {
		t.Errorf("the server's environment: %s", words)
	}
}
