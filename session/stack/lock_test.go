package stack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLockIsNeverStale(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("999999999 and some more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lock, err := lockFolder(dir) // nobody holds it, whatever it says
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(os.Getpid()) {
		t.Errorf("the lock names %q, %v, want our pid", text, err)
	}
	if err := lock.release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockWaitsForServersThatAreEnding(t *testing.T) {
	dir := t.TempDir()
	first, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := shell(t, obedient)
	c.hold = first.servers
	g, err := c.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	claimed := make(chan error)
	go func() { // ends when the claim is decided, which the test waits for
		second, err := lockFolder(dir)
		claimed <- err
		if err == nil {
			claimed <- second.release()
		}
	}()
	select {
	case err := <-claimed:
		t.Fatalf("claimed while a server lives: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := g.stop(5*time.Second, false); err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; err != nil {
		t.Error(err)
	}
}
