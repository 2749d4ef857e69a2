package session

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"livecart/proto"
)

// restartText is the close text of 1012.
const restartText = "restart"

// leastSpread is how far clients are spread even by a gateway that ends at once.
const leastSpread = time.Second

// leastGoodbye is what close frames are given to arrive, however short the drain.
const leastGoodbye = 300 * time.Millisecond

// drainStep is how often draining looks whose time has come.
const drainStep = 20 * time.Millisecond

// drain moves the viewers to other gateways: each is told at once when to reconnect, at a moment of
// its own in the first half of DrainTimeout, and closed with 1012 a little after that. Commands that
// run are answered before. At the end what is left is closed whatever it does; the error is for a
// command that goes on although its context has ended.
func (g *Gateway) drain() error {
	g.setPhase(draining)
	begun := time.Now()
	whole := g.cfg.DrainTimeout
	spread := whole / 2
	leaves := make(map[*Conn]time.Time)
	for _, c := range g.all() {
		after := rand.N(max(spread, leastSpread))
		leaves[c] = begun.Add(min(after, spread) + whole/10)
		c.send(&proto.ServerFrame{Events: []*proto.Event{{
			TimeMs: begun.UnixMilli(),
			Event:  &proto.Event_SessionReconnect{SessionReconnect: &proto.SessionReconnect{AfterMs: after.Milliseconds()}},
		}}})
	}
	gone := make(chan struct{})
	// Ends when the last connection has, which is below at the latest.
	go func() {
		defer close(gone)
		g.serving.Wait()
	}()
	g.dismissInTurn(leaves, gone, begun.Add(whole*7/10))
	for c := range leaves {
		c.dismiss()
	}
	idle := g.tasks.close()
	waitUntil(begun.Add(whole*9/10), idle)
	for c := range leaves {
		c.shut(CloseRestart, restartText)
	}
	waitUntil(latest(begun.Add(whole), time.Now().Add(leastGoodbye)), gone)
	// Whoever is still here, also who came in as draining began.
	for over := false; !over; {
		for _, c := range g.all() {
			c.shutAtOnce()
		}
		select {
		case <-gone:
			over = true
		case <-time.After(drainStep):
		}
	}
	g.stopWork()
	waitUntil(time.Now().Add(leastGoodbye), idle)
	select {
	case <-idle:
		return nil
	default:
		return errors.New("some commands did not end when told to")
	}
}

// dismissInTurn closes each connection when its time has come, until all are gone or it is late.
func (g *Gateway) dismissInTurn(leaves map[*Conn]time.Time, gone <-chan struct{}, late time.Time) {
	order := make([]*Conn, 0, len(leaves))
	for c := range leaves {
		order = append(order, c)
	}
	slices.SortFunc(order, func(a, b *Conn) int { return leaves[a].Compare(leaves[b]) })
	ticker := time.NewTicker(drainStep)
	defer ticker.Stop()
	for len(order) > 0 && time.Now().Before(late) {
		for len(order) > 0 && !time.Now().Before(leaves[order[0]]) {
			order[0].dismiss()
			order = order[1:]
		}
		select {
		case <-gone:
			return
		case <-ticker.C:
		}
	}
}

func waitUntil(at time.Time, done <-chan struct{}) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
