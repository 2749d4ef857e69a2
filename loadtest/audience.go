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

	mu      sync.Mutex
	viewers int
	said    sync.Map // text of a comment or id of a combo to the time.Time when it was due
}

// say notes when a comment or the one gift of a combo was due; text or id must be of its own.
func (a *audience) say(text string, due time.Time) { a.said.Store(text, due) }

// frame measures one frame that reached one of them.
func (a *audience) frame(frame *proto.ServerFrame, bytes int) {
	a.meter.Count("frames_in", 1)
	a.meter.Count("bytes_in", int64(bytes))
	a.meter.Count("delivered", int64(len(frame.Events)))
	if frame.Sampled > 0 {
		a.meter.Count("sampled", int64(frame.Sampled))
	}
	if frame.Skipped > 0 {
		a.meter.Count("skipped", int64(frame.Skipped))
	}
	for _, ev := range frame.Events {
		switch e := ev.Event.(type) {
		case *proto.Event_ChatMessage:
			a.heard("delivery.chat", e.ChatMessage.Text)
		case *proto.Event_GiftSent:
			a.heard("delivery.gift", e.GiftSent.ComboId)
		}
	}
}

func (a *audience) heard(figure, what string) {
	if due, ok := a.said.Load(what); ok {
		a.meter.Time(figure, time.Since(due.(time.Time)))
	}
}

func (a *audience) joined() { a.add(1) }

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
