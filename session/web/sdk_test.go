package web

import (
	"context"
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

// node returns the path of Node; without it the test is skipped, or fails where Node is required.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		stacktest.Require(t, "node", "no Node.js on PATH, and the SDK's own tests run there")
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if old := regexp.MustCompile(`^v(?:\d|1\d)\.`); old.Match(out) {
		stacktest.Require(t, "node", "the SDK's own tests need Node.js 20, not "+strings.TrimSpace(string(out)))
	}
	return path
}

func TestSDK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	files := []string{"messages", "state", "room", "format"}
	args := []string{"--test", "--test-reporter=tap"}
	for _, f := range files {
		args = append(args, "sdk/"+f+".test.mjs")
	}
	out, err := exec.CommandContext(ctx, node(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if m := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out); m == nil || len(m[1]) < 2 {
		t.Errorf("fewer than 10 tests ran:\n%s", out)
	}
}

// The SDK's table of messages and the protocol's own definition say the same.
func TestMessagesMatchTheProtocol(t *testing.T) {
	script := `import * as m from './static/livecart/messages.js';
		process.stdout.write(JSON.stringify(Object.fromEntries(Object.entries(m).filter(([, v]) => typeof v === 'object'))));`
	out, err := exec.Command(node(t), "--input-type=module", "-e", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string]any
	if err := json.Unmarshal(out, &shapes); err != nil {
		t.Fatal(err)
	}
	// The one name that would hide a global of the language.
	shapes["Error"] = shapes["ReplyError"]
	delete(shapes, "ReplyError")
	messages := make(map[string]protoreflect.MessageDescriptor)
	collect(messages, (*proto.ServerFrame)(nil).ProtoReflect().Descriptor())
	collect(messages, (*proto.Gift)(nil).ProtoReflect().Descriptor())
	collect(messages, (*proto.RankingEntry)(nil).ProtoReflect().Descriptor())
	for name, md := range messages {
		shape, ok := shapes[name]
		if !ok {
			t.Errorf("messages.js lacks %s", name)
			continue
		}
		compare(t, name, shape, md)
	}
	for name := range shapes {
		if messages[name] == nil {
			t.Errorf("messages.js has %s, which the protocol does not send", name)
		}
	}
}

func collect(into map[string]protoreflect.MessageDescriptor, md protoreflect.MessageDescriptor) {
	if into[string(md.Name())] != nil {
		return
	}
	into[string(md.Name())] = md
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); fd.Message() != nil && !fd.IsMap() {
			collect(into, fd.Message())
		}
	}
}

func compare(t *testing.T, name string, shape any, md protoreflect.MessageDescriptor) {
	t.Helper()
	fields, ok := shape.(map[string]any)
	if !ok {
		t.Errorf("%s is no message in messages.js", name)
		return
	}
	var want []string
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		want = append(want, string(fd.Name()))
		got := fields[string(fd.Name())]
		if fd.IsList() {
			list, ok := got.([]any)
			if !ok || len(list) != 1 {
				t.Errorf("%s.%s is repeated", name, fd.Name())
				continue
			}
			got = list[0]
		}
		if fd.Message() != nil && !fd.IsMap() {
			if _, ok := got.(map[string]any); !ok {
				t.Errorf("%s.%s is a %s, messages.js has %v", name, fd.Name(), fd.Message().Name(), got)
			}
			continue
		}
		if kind := kindOf(fd); got != kind {
			t.Errorf("%s.%s is %s, messages.js has %v", name, fd.Name(), kind, got)
		}
	}
	for field := range fields {
		if !slices.Contains(want, field) {
			t.Errorf("%s.%s is not in the protocol", name, field)
		}
	}
}

func kindOf(fd protoreflect.FieldDescriptor) string {
	if fd.IsMap() {
		return "texts"
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.StringKind, protoreflect.EnumKind:
		return "text"
	default:
		return "int"
	}
}
