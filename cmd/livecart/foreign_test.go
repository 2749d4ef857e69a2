package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"livecart/session/stack/stacktest"
)

// TestForeignClient lets a client of other people's making into the room: the WebSocket that Node.js
// brings, speaking livecart.v1.json as documented.
func TestForeignClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		stacktest.Require(t, "node", "no Node.js on PATH")
	}
	// Node.js 20 has its WebSocket behind a flag that later ones still take.
	const flag = "--experimental-websocket"
	if err := exec.Command(node, flag, "--eval", "new WebSocket('ws://127.0.0.1:1').onerror = () => {}").Run(); err != nil {
		stacktest.Require(t, "node", "this Node.js has no WebSocket, version 20.10 has")
	}
	p := startDev(t)
	out, err := exec.CommandContext(t.Context(), node, flag, "--no-warnings", "testdata/foreign.mjs", p.file).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var saw struct {
		Protocol, Comment, Order, State, Available, Again, Conflict, Unknown, Ended string
		First                                                                       []string
		Shelf, Missed                                                               int
		Resumed                                                                     bool
	}
	if err := json.Unmarshal(out, &saw); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, check := range []struct {
		what string
		ok   bool
	}{
		{"the subprotocol is the one asked for", saw.Protocol == "livecart.v1.json"},
		{"the welcome comes first", len(saw.First) == 1 && saw.First[0] == "session_welcome"},
		{"the welcome has the shelf", saw.Shelf == len(demoProducts)},
		{"the comment is answered as it was cleaned", saw.Comment == "hello 你好"},
		{"the order waits for its payment", saw.Order != "" && saw.State == "ORDER_STATE_AWAITING_PAYMENT"},
		{"the room sees one piece less", saw.Available == "4"},
		{"it resumes with the one event it missed", saw.Resumed && saw.Missed == 1},
		{"the same key is the same order", saw.Again == saw.Order},
		{"the same key with other content conflicts", saw.Conflict == "idempotency_conflict"},
		{"an unknown command is named as such", saw.Unknown == "unknown_command"},
		{"the end of the sale is told", saw.Ended == "stopped"},
	} {
		if !check.ok {
			t.Errorf("not so: %s (%s)", check.what, out)
		}
	}
}
