package session

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"livecart/proto"
)

func TestDrainMovesViewersAndAnswersRunningCommands(t *testing.T) {
	w := newWorld(t)
	begun, release := make(chan struct{}), make(chan struct{})
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.DrainTimeout = 4 * time.Second
		cfg.Routes["flash_buy"] = Route{Handle: func(ctx context.Context, _ Call) (*proto.Ok, error) {
			close(begun)
			return nil, wait(ctx, release)
		}}
	})
	buyer := g.dial(t, dial{token: w.token("vera", "viewer", 0)})
	var others []*client
	for range 10 {
		c := g.dial(t, dial{})
		c.welcome()
		others = append(others, c)
	}
	buyer.send(&proto.Command{RequestId: "buy", Command: &proto.Command_FlashBuy{FlashBuy: new(proto.FlashBuy)}})
	<-begun
	stopped := make(chan struct{})
	go func() { defer close(stopped); g.stop() }()
	spread := make(map[int64]bool)
	for _, c := range others {
		after := c.event("session_reconnect", nil).GetSessionReconnect().AfterMs
		if after < 0 || after >= 2000 {
			t.Errorf("told to wait %d ms", after)
		}
		spread[after] = true
	}
	if len(spread) < 5 {
		t.Errorf("all are told to come at the same time: %v", spread)
	}
	if err := g.Ready(); err == nil {
		t.Error("ready while draining")
	}
	d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}}
	if _, resp, _ := d.Dial(dial{}.url(g.url), nil); resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a new viewer gets %v", resp)
	}
	for _, c := range others {
		if code, _ := c.closed(); code != websocket.CloseServiceRestart {
			t.Errorf("closed with %d", code)
		}
	}
	close(release)
	if buyer.reply("buy").GetOk() == nil {
		t.Error("the running command was not answered")
	}
	if code, _ := buyer.closed(); code != websocket.CloseServiceRestart {
		t.Errorf("the buyer was closed with %d", code)
	}
	<-stopped
}

func TestDrainEndsInTimeWhateverViewersAndCommandsDo(t *testing.T) {
	w := newWorld(t)
	begun := make(chan struct{})
	g := w.gateway(func(cfg *GatewayConfig) {
		cfg.DrainTimeout = 500 * time.Millisecond
		cfg.Routes["wallet_get"] = Route{Handle: func(ctx context.Context, _ Call) (*proto.Ok, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		}}
	})
	deaf := g.dial(t, dial{token: w.token("vera", "viewer", 0), deaf: true, small: true})
	deaf.send(&proto.Command{RequestId: "r", Command: &proto.Command_WalletGet{WalletGet: new(proto.WalletGet)}})
	<-begun
	from := time.Now()
	g.stop()
	// Neither the viewer, who may take 10 s for a message, nor the command, which has 15, is waited for.
	if took := time.Since(from); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDrainWithoutPatienceStillSaysGoodbye(t *testing.T) {
	w := newWorld(t)
	g := w.gateway() // a millisecond
	c := g.dial(t, dial{})
	c.welcome()
	g.stop()
	if code, _ := c.closed(); code != websocket.CloseServiceRestart {
		t.Errorf("closed with %d", code)
	}
	c.event("session_reconnect", nil)
}

// Who comes in as the drain begins, too late to be among those whom it moves, is told to go as well.
func TestViewerWhoComesInAsTheDrainBeginsIsToldToGo(t *testing.T) {
	w := newWorld(t)
	g := w.gateway(func(cfg *GatewayConfig) { cfg.DrainTimeout = patience })
	first := g.dial(t, dial{})
	first.welcome()
	// The welcome of the other format is still to be made and needs the room's figures: there the
	// handshake stalls.
	figures := g.cfg.Presence.rooms.find("demo")
	figures.mu.Lock()
	goOn := sync.OnceFunc(figures.mu.Unlock)
	defer goOn()
	late := make(chan error, 1)
	go func() { // ends with the connection
		d := websocket.Dialer{Subprotocols: []string{proto.JSON.String()}, HandshakeTimeout: patience}
		ws, _, err := d.Dial(dial{}.url(g.url), nil)
		if err == nil {
			defer ws.Close()
		}
		for err == nil {
			_, _, err = ws.ReadMessage()
		}
		late <- err
	}()
	eventually(t, "the second is admitted", func() bool { return testutil.ToFloat64(g.metrics.connections) == 2 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); g.stop() }()
	first.event("session_reconnect", nil)
	goOn()
	first.close()
	if err := <-late; !websocket.IsCloseError(err, CloseRestart) {
		t.Errorf("it ended with %v", err)
	}
	<-stopped
}
