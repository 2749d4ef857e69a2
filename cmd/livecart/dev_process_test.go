package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"livecart/session/stack/stacktest"
)

// livecartBinary builds the program: what runs the tests is not it.
func livecartBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "livecart")
	if said, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, said)
	}
	return path
}

// processNamed reads the ready file until it names a running process of that name and another number than not.
func processNamed(t *testing.T, file, name string, not int) readyProcess {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var info readyInfo
		if err := json.Unmarshal(data, &info); err != nil {
			t.Fatal(err)
		}
		for _, p := range info.Processes {
			if p.Name == name && p.PID != 0 && p.PID != not {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s beside process %d in %s", name, not, data)
		}
	}
}

// A gateway that is killed is gone, comes back at its address, and the run goes on as before.
func TestKilledGatewayOfDevComesBack(t *testing.T) {
	dev := startDevIn(t, stacktest.DataDir(t), "--processes")
	if n := len(dev.info.Processes); n != 3 || len(dev.info.Gateways) != 2 {
		t.Fatalf("%+v", dev.info)
	}
	old := processNamed(t, dev.info.file, "gateway 2", 0)
	if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	processNamed(t, dev.info.file, "gateway 2", old.PID)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		probe := devProcess{admin: strings.TrimPrefix(dev.info.Gateways[1].Admin, "http://")}
		err := probe.ready(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway is not back: %v", err)
		}
	}
	if result := smoke(t, dev.info); !result.Passed {
		t.Error("a check failed")
	}
}

func TestDevWithProcessesThatDoNotStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "livecart")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &devProcess{name: "gateway 1", program: path, log: filepath.Join(t.TempDir(), "log"), admin: "127.0.0.1:1", changed: make(chan struct{}, 1)}
	if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "ended at its start: see "+c.log) {
		t.Errorf("%v", err)
	}
}
