package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// pad is about a kilobyte that fills queues and kernel buffers.
var pad = strings.Repeat("0123456789", 100)

func TestSlowViewerIsClosedAndItsNeighbourFeelsNothing(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.QueueBytes = 64 << 10
		cfg.WriteTimeout = patience // so long would the neighbour wait if it were held up
	})
	slow := g.dial(t, dial{token: w.token("slow", "viewer", 0), deaf: true, small: true})
	good := g.dial(t, dial{})
	good.welcome()
	var stuck *Conn
	eventually(t, "both are here", func() bool {
		for _, c := range g.all() {
			if c.userID == "slow" {
				stuck = c
			}
		}
		return len(g.all()) == 2 && stuck != nil
	})
	// State may not be dropped: it fills the kernel's buffers and then the queue.
	sent := int64(0)
	longest := time.Duration(0)
	for !stuck.over() {
		if sent++; sent > 50_000 {
			t.Fatal("the slow viewer is never closed")
		}
		ev := &proto.Event{Seq: sent, Event: &proto.Event_ChatSettings{ChatSettings: &proto.ChatSettings{BlockedTerms: []string{pad}}}}
		w.publish("demo", ev)
		if sent%50 == 0 {
			w.flush()
			begun := time.Now()
			good.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == sent })
			longest = max(longest, time.Since(begun))
		}
	}
	if longest > patience/3 {
		t.Errorf("the neighbour waited %v", longest)
	}
	good.event("chat_settings", func(ev *proto.Event) bool { return ev.Seq == sent })
	if got := good.numbers(); int64(len(got)) != sent {
		t.Errorf("the neighbour got %d of %d", len(got), sent)
	}
	slow.close()
}

func TestSlowViewerThatReadsAgainIsToldWhy(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.QueueBytes = 64 << 10 })
	slow := g.dial(t, dial{token: w.token("slow", "viewer", 0), deaf: true, small: true})
	eventually(t, "it is here", func() bool { return len(g.all()) == 1 })
	c := g.all()[0]
	for n := int64(1); !c.over(); n++ {
		w.publish("demo", &proto.Event{Seq: n, Event: &proto.Event_ChatSettings{ChatSettings: &proto.ChatSettings{BlockedTerms: []string{pad}}}})
		if n%50 == 0 {
			w.flush()
		}
	}
	slow.listen()
	if code, text := slow.closed(); code != CloseSlowConsumer || text != "slow_consumer" {
		t.Errorf("closed with %d %s", code, text)
	}
}

func TestSkippedCommentsAreTold(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.QueueBytes = 32 << 10
		cfg.RoomTick = 2 * time.Millisecond
	})
	slow := g.dial(t, dial{deaf: true, small: true})
	good := g.dial(t, dial{})
	good.welcome()
	eventually(t, "both are here", func() bool { return len(g.all()) == 2 })
	var lagging *Conn
	sent := 0
	count := func(frames []*proto.ServerFrame) (got, skipped int) {
		for _, f := range frames {
			got += len(texts(f.Events))
			skipped += int(f.Skipped)
		}
		return got, skipped
	}
	skipping := func() bool {
		for _, c := range g.all() {
			c.shard.mu.Lock()
			lag := c.queue.skipped
			c.shard.mu.Unlock()
			if lag > 500 {
				lagging = c
				return true
			}
		}
		return false
	}
	for !skipping() {
		if sent += 50; sent > 100_000 {
			t.Fatal("the slow viewer never loses a comment")
		}
		for range 50 {
			w.publish("demo", comment("vera", proto.Role_ROLE_VIEWER, pad))
		}
		good.until("the neighbour's comments", func(frames []*proto.ServerFrame) bool {
			got, skipped := count(frames)
			return got+skipped == sent
		})
	}
	if lagging.over() {
		t.Fatal("comments closed the connection")
	}
	// State still comes, after it reads again, and the sum is right.
	w.state("demo", true)
	slow.listen()
	slow.event("chat_settings", nil)
	slow.until("all accounted for", func(frames []*proto.ServerFrame) bool {
		got, skipped := count(frames)
		return got+skipped >= sent
	})
	if got, skipped := count(slow.received()); got+skipped != sent || skipped == 0 {
		t.Errorf("%d delivered and %d skipped of %d", got, skipped, sent)
	}
}

func TestCommandOutlivesItsConnection(t *testing.T) {
	w := newWorld(t)
	begun, release, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.Routes["flash_buy"] = Route{Handle: func(ctx context.Context, _ Call) (*proto.Ok, error) {
			close(begun)
			err := wait(ctx, release)
			outcome <- err
			return nil, err
		}}
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	c.send(&proto.Command{RequestId: "r", Command: &proto.Command_FlashBuy{FlashBuy: new(proto.FlashBuy)}})
	<-begun
	c.close()
	eventually(t, "the connection is gone", func() bool { return len(g.all()) == 0 })
	close(release)
	if err := <-outcome; err != nil {
		t.Errorf("its context ended: %v", err)
	}
}

func TestCommandThatTakesTooLongIsToldToTryAgain(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.CommandTimeout = 50 * time.Millisecond
		cfg.Routes["wallet_get"] = Route{Handle: func(ctx context.Context, _ Call) (*proto.Ok, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("wallet: %w", ctx.Err())
		}}
	})
	c := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	c.send(&proto.Command{RequestId: "r", Command: &proto.Command_WalletGet{WalletGet: new(proto.WalletGet)}})
	if reason := c.reason("r"); reason != proto.ReasonTryAgain {
		t.Errorf("reason %q", reason)
	}
}

// Where a goroutine writes, the end follows the close frame at once, for the client to leave by.
func TestEndFollowsACloseFrameThatIsBeingWritten(t *testing.T) {
	s, a := loneShard(t, GatewayConfig{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sock := newAsyncSocket(conn, patience)
	c := seat(s, a, sock)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer c.shutAtOnce()
	c.refuse(websocket.CloseProtocolError, "") // the write waits for run
	writing.Go(func() {
		sock.run(func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			sock.written()
			c.writable(err)
		})
	})
	// Nobody sweeps here, so nothing else ends the socket.
	_ = client.SetReadDeadline(time.Now().Add(patience / 3))
	got, err := io.ReadAll(client)
	if err != nil {
		t.Errorf("no end: %v", err)
	}
	if s := readStream(t, got); s.close != websocket.CloseProtocolError {
		t.Errorf("told %d", s.close)
	}
}
