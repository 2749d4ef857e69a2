package main

import (
	"net"
	"strings"
	"testing"
)

func TestListenPairStepsOverABusyPort(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	admin, err := shiftPort(busy.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	p, a, err := listenPair(busy.Addr().String(), admin, func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer a.Close()
	if len(said) == 0 || !strings.Contains(said[0], "in use") {
		t.Errorf("said %q", said)
	}
	taken := p.Addr().(*net.TCPAddr).Port
	if steps := taken - busy.Addr().(*net.TCPAddr).Port; steps%2 != 0 || a.Addr().(*net.TCPAddr).Port != taken+1 {
		t.Errorf("public moved by %d, admin is on %v", steps, a.Addr())
	}
}

func TestShiftPort(t *testing.T) {
	tests := []struct{ addr, want string }{
		{"127.0.0.1:8080", "127.0.0.1:8082"},
		{":8080", ":8082"},
		{"[::1]:8080", "[::1]:8082"},
		{"127.0.0.1:0", "127.0.0.1:0"},
		{"127.0.0.1:65533", "127.0.0.1:65535"},
		{"127.0.0.1:65534", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:http", ""},
	}
	for _, tt := range tests {
		if got, err := shiftPort(tt.addr, 2); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.addr, got, err, tt.want)
		}
	}
}
