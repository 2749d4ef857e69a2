package loadtest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// audience measures what reaches all people of a run. Safe for concurrent use.
type audience struct {
	meter *Meter
	likes likeBoard

	mu      sync.Mutex
	viewers int
	visits  int64    // connections that were welcomed
	said    sync.Map // text of a comment, id of a combo or name of a move to the time.Time when it was due
}

func newAudience(meter *Meter) *audience {
	return &audience{meter: meter, likes: likeBoard{meter: meter}}
}

// say notes when a comment, the one gift of a combo or a move of the host was due. Text, id and name must be
// of their own, but for the name of what comes again: then the last time counts.
func (a *audience) say(text string, due time.Time) { a.said.Store(text, due) }

// frame measures one frame that reached one of them.
func (a *audience) frame(frame *proto.ServerFrame, bytes int) {
	a.count(frame, bytes)
	missed := welcomeOf(frame) != nil // what comes with a welcome happened before
	for _, ev := range frame.Events {
		if move := moveOf(ev); move != "" && !missed {
			a.heard("delivery.numbered", move)
		}
		switch e := ev.Event.(type) {
		case *proto.Event_ChatMessage:
			a.heard("delivery.chat", e.ChatMessage.Text)
		case *proto.Event_GiftSent:
			a.heard("delivery.gift", e.GiftSent.ComboId)
		}
	}
}

// slowFrame is frame for somebody who reads slowly, whose times are their own.
func (a *audience) slowFrame(frame *proto.ServerFrame, bytes int) {
	a.count(frame, bytes)
	if frame.Skipped > 0 {
		a.meter.Count("slow.skipped", int64(frame.Skipped))
	}
	for _, ev := range frame.Events {
		if m := ev.GetChatMessage(); m != nil {
			a.heard("delivery.slow", m.Text)
		}
	}
}

func (a *audience) count(frame *proto.ServerFrame, bytes int) {
	a.meter.Count("frames_in", 1)
	a.meter.Count("bytes_in", int64(bytes))
	a.meter.Count("delivered", int64(len(frame.Events)))
	if frame.Sampled > 0 {
		a.meter.Count("sampled", int64(frame.Sampled))
	}
	if frame.Skipped > 0 {
		a.meter.Count("skipped", int64(frame.Skipped))
	}
}

func (a *audience) heard(figure, what string) {
	if due, ok := a.said.Load(what); ok {
		a.meter.Time(figure, time.Since(due.(time.Time)))
	}
}

func (a *audience) joined() {
	a.add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.visits++
}

// here is how many connections there are, welcomed how many there were in all.
func (a *audience) here() (here, welcomed int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(a.viewers), a.visits
}

// left takes in that a connection ended.
func (a *audience) left(lost error) {
	a.add(-1)
	var closed *websocket.CloseError
	if errors.As(lost, &closed) {
		a.meter.Count(fmt.Sprintf("closed.%d", closed.Code), 1)
	}
}

// add sets the gauge under the lock, so that the newest number is the last one told.
func (a *audience) add(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.viewers += n
	a.meter.Gauge("viewers", float64(a.viewers))
}
