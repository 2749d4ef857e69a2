package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"livecart/loadtest"
)

func TestListAndShow(t *testing.T) {
	all, err := loadtest.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"list"}, &stdout, &stderr); code != exitPassed {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	listed := stdout.String()
	for _, name := range append([]string{smokeName}, names(all)...) {
		if !strings.Contains(listed, name+" ") {
			t.Errorf("%s is not listed", name)
		}
		stdout.Reset()
		if code := run(t.Context(), []string{"show", name}, &stdout, &stderr); code != exitPassed || !strings.HasPrefix(stdout.String(), name+"\n") {
			t.Errorf("show %s: exit code %d: %s%s", name, code, stdout.String(), stderr.String())
		}
	}
}

func names(all []loadtest.Scenario) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

func TestShowTellsWhatTheNumbersComeTo(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"show", "steady", "--viewers", "6000", "--for", "11m"}, &stdout, &stderr); code != exitPassed {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	for _, want := range []string{
		"mean stay 60 s, log-normal", "6000, of whom 60 stay", "length 11m0s", "1m0s from 60 to 6000 viewers", "10m0s with 6000 viewers, 99 joins a second",
		"comments 0.6 a second of 40 bytes in the full room, 3600 deliveries", "likes 30 a second", "gifts 0.3 a second in the full room, by 60 givers",
	} {
		if !strings.Contains(strings.Join(strings.Fields(stdout.String()), " "), want) {
			t.Errorf("%q is missing in\n%s", want, stdout.String())
		}
	}
}

func TestShowTellsHowManyRooms(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "rooms 10000 of log-normal sizes, sigma 1.5: a mean of 43.6 viewers"},
		{[]string{"--rooms", "100"}, "viewers 4360, who come once"},
		{[]string{"--viewers", "436"}, "rooms 10 of log-normal sizes"},
		{[]string{"--for", "20s"}, "length 20s after all have come"},
		{[]string{"--viewers", "1"}, "rooms 1 of log-normal sizes"},
		{[]string{"--viewers", "400", "--rooms", "40"}, "a mean of 10 viewers"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"show", "many-rooms"}, tt.args...), &stdout, &stderr); code != exitPassed {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		if !strings.Contains(strings.Join(strings.Fields(stdout.String()), " "), tt.want) {
			t.Errorf("%q is missing in\n%s", tt.want, stdout.String())
		}
	}
}

func TestScenarioOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evening.yaml")
	if err := os.WriteFile(path, []byte("viewers: 50\nstages: [{for: 1s, to: 100%}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"show", path}, &stdout, &stderr); code != exitPassed || !strings.Contains(stdout.String(), "evening\n") || !strings.Contains(stdout.String(), "50, of whom 8") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	if err := os.WriteFile(path, []byte("stages: [{for: 1s, until: 100%}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stderr.Reset()
	if code := run(t.Context(), []string{"run", path, "--ready-file", nobody(t)}, &stdout, &stderr); code != exitInvalid {
		t.Errorf("exit code %d", code)
	}
	if want := path + `:1:20: unknown field "until", known are for, to`; !strings.Contains(stderr.String(), want) {
		t.Errorf("%q does not say %q", stderr.String(), want)
	}
}
