package stack

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startChild runs a shell script as a child and waits until it said that it runs.
func startChild(t *testing.T, script string) *Child {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	c, err := StartChild(log, "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Kill() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		said, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(said), "runs") {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("the child said %q, %v", said, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestChildStopsInOrder(t *testing.T) {
	end := filepath.Join(t.TempDir(), "end")
	c := startChild(t, `trap 'echo in order >"`+end+`"; exit' TERM; echo runs; while :; do sleep 0.01; done`)
	if c.Ended(0) {
		t.Fatal("it has ended by itself")
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(end); string(said) != "in order\n" || err != nil {
		t.Errorf("its end left %q, %v", said, err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestChildIsKilledWhileFrozen(t *testing.T) {
	c := startChild(t, `trap '' TERM; echo runs; while :; do sleep 0.01; done`)
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if !c.Ended(0) {
		t.Error("it lives on")
	}
	if err := c.Signal(syscall.SIGCONT); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
}
