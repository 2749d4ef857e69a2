package loadtest

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

func TestWhoDoesNotComeBackIsTold(t *testing.T) {
	knocks := make(chan struct{}, 100)
	var closed atomic.Bool
	g := serve(t, func(g *gateway) {
		g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			if closed.Load() {
				http.Error(w, "gone", http.StatusServiceUnavailable)
				knocks <- struct{}{}
			}
			return closed.Load()
		}
		g.answer = func(c *socket, _ *proto.Command) {
			closed.Store(true)
			c.Close()
		}
	})
	p := newPerson(g.target(), "ann", "a token", proto.Binary, NewMeter(time.Now()))
	r := &playRun{smokeRun: &smokeRun{back: newComebacks(t.Context(), retries{})}, visitors: &visitors{}}
	r.back.adopt(0, p)
	if err := p.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := r.checkCameBack(); !c.OK {
		t.Errorf("before: %+v", c)
	}
	if err := p.current().Send(ping()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-knocks
	}
	if n := r.back.away(); n != 1 {
		t.Errorf("%d are away", n)
	}
	r.back.close()
	if c := r.checkCameBack(); c.OK || !strings.Contains(c.Detail, "ann had not come back when the run ended") {
		t.Errorf("%+v", c)
	}
	p.leave()
}
