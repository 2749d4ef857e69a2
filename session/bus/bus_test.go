package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack/stacktest"
)

func connect(t *testing.T, url, prefix string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: url, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func comment(text string) *proto.Event {
	return &proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Text: text}}}
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestRoomEventsReachEverySubscriberInOrder(t *testing.T) {
	url := stacktest.NATS(t)
	publisher := connect(t, url, "p1")
	const n = 200
	var got [2]chan *proto.RoomEvents
	for i := range got {
		got[i] = make(chan *proto.RoomEvents, n)
		sub, err := connect(t, url, "p1").SubscribeRoom("demo", func(e *proto.RoomEvents) { got[i] <- e })
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
	}
	for i := range n {
		if err := publisher.PublishRoom("demo", comment(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, ch := range got {
		for i := range n {
			e := receive(t, ch)
			if text := e.Events[0].GetChatMessage().GetText(); e.RoomId != "demo" || text != fmt.Sprint(i) {
				t.Fatalf("message %d is %q of room %q", i, text, e.RoomId)
			}
		}
	}
}

func TestOtherRoomsAndPrefixesStayApart(t *testing.T) {
	url := stacktest.NATS(t)
	got := make(chan string, 10)
	for _, prefix := range []string{"p1", "p2"} {
		b := connect(t, url, prefix)
		sub, err := b.SubscribeRoom("demo", func(e *proto.RoomEvents) { got <- prefix + " " + e.RoomId })
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
	}
	b := connect(t, url, "p2")
	for _, room := range []string{"other", "demo"} {
		if err := b.PublishRoom(room, comment("x")); err != nil {
			t.Fatal(err)
		}
	}
	if first := receive(t, got); first != "p2 demo" {
		t.Errorf("came: %s", first)
	}
	if len(got) != 0 {
		t.Errorf("came as well: %s", <-got)
	}
}

func TestCloseOfASubscriptionWaitsForItsFunction(t *testing.T) {
	b := connect(t, stacktest.NATS(t), "p1")
	entered, leave := make(chan struct{}), make(chan struct{})
	finished := false
	sub, err := b.SubscribePrivate(func(*proto.PrivateEvents) {
		close(entered)
		<-leave
		finished = true
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PublishPrivate(&proto.PrivateEvent{UserId: "{}.*>", Event: comment("x")}); err != nil {
		t.Fatal(err)
	}
	receive(t, entered)
	go close(leave)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if !finished {
		t.Error("Close returned while the function ran")
	}
}

func TestRequestReachesOneWorker(t *testing.T) {
	url := stacktest.NATS(t)
	asker := connect(t, url, "p1")
	served := make(chan string, 100)
	for _, worker := range []string{"one", "two"} {
		sub, err := connect(t, url, "p1").Serve("flash", func(r bus.Request) {
			batch := new(proto.FlashBatch)
			if err := r.Decode(batch); err != nil {
				t.Error(err)
			}
			served <- worker
			answer := &proto.FlashDecisions{Decisions: []*proto.FlashDecision{{Key: batch.Attempts[0].Key}}}
			if err := r.Respond(answer); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
	}
	for i := range 20 {
		key := fmt.Sprint(i)
		answer := new(proto.FlashDecisions)
		if err := asker.Request(t.Context(), "flash", &proto.FlashBatch{Attempts: []*proto.FlashAttempt{{Key: key}}}, answer); err != nil {
			t.Fatal(err)
		}
		if answer.Decisions[0].Key != key {
			t.Errorf("asked %s, answered %s", key, answer.Decisions[0].Key)
		}
	}
	if len(served) != 20 {
		t.Errorf("20 requests were served %d times", len(served))
	}
}

func TestRequestFailures(t *testing.T) {
	url := stacktest.NATS(t)
	b := connect(t, url, "p1")
	if err := b.Request(t.Context(), "flash", &proto.FlashBatch{}, &proto.FlashDecisions{}); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("without workers: %v", err)
	}
	sub, err := b.Serve("flash", func(bus.Request) {}) // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Request(ctx, "flash", &proto.FlashBatch{}, &proto.FlashDecisions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a worker that does not answer: %v", err)
	}
	if _, err := bus.Connect(t.Context(), bus.Config{URL: "nats://127.0.0.1:1"}); err == nil {
		t.Error("connected to nobody")
	}
}
