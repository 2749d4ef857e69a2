package main

import (
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHealthAsksWhetherTheProcessIsReady(t *testing.T) {
	var notReady error
	server := httptest.NewServer(adminHandler(prometheus.NewRegistry(), func() error { return notReady }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, admin := range []string{"127.0.0.1:" + port, "0.0.0.0:" + port, ":" + port} {
		if err := (&healthCommand{Admin: admin}).Run(t.Context()); err != nil {
			t.Errorf("a process that is ready at %s: %v", admin, err)
		}
	}
	notReady = errors.New("the gateway is draining")
	err = (&healthCommand{Admin: "127.0.0.1:" + port}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("a process that drains: %v", err)
	}
	server.Close()
	if (&healthCommand{Admin: "127.0.0.1:" + port}).Run(t.Context()) == nil {
		t.Error("a process that has ended is healthy")
	}
	if (&healthCommand{Admin: "nonsense"}).Run(t.Context()) == nil {
		t.Error("an address that is none is healthy")
	}
}
