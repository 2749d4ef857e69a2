package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"livecart/session"
)

func TestConnectionsFollowTheDescriptors(t *testing.T) {
	for _, tc := range []struct {
		name        string
		told        int
		descriptors uint64
		want        int
		warned      bool
	}{
		{"enough", 0, 100_400, 0, false},
		{"one too few", 0, 100_399, 99_999, true},
		{"few", 0, 1024, 624, true},
		{"hardly any", 0, 100, 1, true},
		{"told", 5000, 1024, 5000, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var said bytes.Buffer
			got := maxConnections(tc.told, 100_000, tc.descriptors, slog.New(slog.NewTextHandler(&said, nil)))
			if got != tc.want || said.Len() > 0 != tc.warned {
				t.Errorf("%d connections, said %q", got, said.String())
			}
		})
	}
}

// lines are what was logged, for one to be waited for.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// The server runs in a process of its own, with few descriptors.
const fewDescriptors = "LIVECART_TEST_FEW_DESCRIPTORS"

func TestWithoutDescriptorsConnectionsWaitAndItIsSaid(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("how many descriptors a process uses differs between systems")
	}
	if os.Getenv(fewDescriptors) != "" {
		serveWithFewDescriptors(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fewDescriptors+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("served all")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func serveWithFewDescriptors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said lines
	log := slog.New(slog.NewTextHandler(&said, nil))
	ctx, stop := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	address := listener.Addr().String()
	// A connection that is handed to the server takes a second descriptor for a moment.
	if listener, err = session.HandshakeListener(listener, handler, log); err != nil {
		t.Fatal(err)
	}
	server := httpServer("test", listener, handler, log)
	const descriptors, clients = 100, 60
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: descriptors, Max: descriptors}); err != nil {
		t.Fatal(err)
	}
	// They wait in the kernel's queue, and are more than the server has descriptors for.
	var conns []net.Conn
	for range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	served := make(chan error, 1)
	go func() { served <- server.run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	const line = "no descriptors are left"
	for said.count(line) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, and nothing is said", len(conns))
		}
		time.Sleep(time.Millisecond)
	}
	// Those that ask and go make room for those that wait.
	for _, conn := range conns {
		_ = conn.SetDeadline(deadline)
		if _, err := fmt.Fprint(conn, "Connection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(answer, "200") {
			t.Fatalf("%q, %v", answer, err)
		}
		conn.Close()
	}
	if n := said.count(line); n != 1 {
		t.Errorf("said %d times within %v", n, complainEvery)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	fmt.Println("served all", len(conns))
}
