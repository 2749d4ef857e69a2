package stacktest

import (
	"testing"

	"livecart/session/stack"
)

// NATS starts a NATS server inside the process for this test (a few milliseconds) and returns its URL.
func NATS(t testing.TB) string {
	t.Helper()
	server, err := stack.StartNATS(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.URL()
}
