package bus

import (
	"net/url"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
	"livecart/session/stack"
)

// own returns a NATS server of the test's own, and a bus on it.
func own(t *testing.T) (*stack.NATSServer, *Bus) {
	t.Helper()
	server, err := stack.StartNATS(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	b, err := Connect(t.Context(), Config{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return server, b
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func TestSubscriptionThatIsNotConfirmedLeavesNothingBehind(t *testing.T) {
	server, b := own(t)
	server.Close()
	within(t, "the bus notices", func() bool { return !b.Connected() })
	b.patience = 10 * time.Millisecond
	if _, err := b.SubscribePrivate(func(*proto.PrivateEvents) { t.Error("called") }); err == nil {
		t.Fatal("subscribed at a server that is away")
	}
	if n := b.nc.NumSubscriptions(); n != 0 || len(b.subs) != 0 {
		t.Errorf("%d subscriptions with the client and %d here", n, len(b.subs))
	}
}

func TestCloseWaitsForFunctionsThatRun(t *testing.T) {
	_, b := own(t)
	b.nc.Opts.DrainTimeout = 50 * time.Millisecond // the function outlasts it
	entered := make(chan struct{})
	var finished atomic.Bool
	_, err := b.SubscribePrivate(func(*proto.PrivateEvents) {
		close(entered)
		<-b.closed
		for range 1000 {
			runtime.Gosched()
		}
		finished.Store(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PublishPrivate(&proto.PrivateEvent{UserId: "ann"}); err != nil {
		t.Fatal(err)
	}
	<-entered
	b.Close()
	if !finished.Load() {
		t.Error("Close returned while the function ran")
	}
}

func TestLossesRiseWhenTheConnectionIsBack(t *testing.T) {
	server, b := own(t)
	if n := b.Losses(); n != 0 {
		t.Errorf("%d losses at the start", n)
	}
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	again, err := stack.StartNATS(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	within(t, "the loss is counted", func() bool { return b.Losses() == 1 })
}

func TestLossesRiseWhenASubscriptionDoesNotKeepUp(t *testing.T) {
	_, b := own(t)
	leave := make(chan struct{})
	sub, err := b.SubscribePrivate(func(*proto.PrivateEvents) { <-leave })
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.sub.SetPendingLimits(1, -1); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := b.PublishPrivate(&proto.PrivateEvent{UserId: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the loss is counted", func() bool { return b.Losses() > 0 })
	close(leave)
}
