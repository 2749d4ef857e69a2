package loadtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"livecart/proto"
)

// showFor is how long a product is on show at most: as long as a server allows, so that only the next one
// takes it down.
const showFor = 10 * time.Minute

// termPrefix begins the blocked term by which settings of a run are told from one another. Nobody writes it.
const termPrefix = "livecart load "

// moveOf names the move of a host that a numbered event tells, "" for all other events. A product that is shown
// again has the same name again.
func moveOf(ev *proto.Event) string {
	switch e := ev.Event.(type) {
	case *proto.Event_ProductPushed:
		if id := e.ProductPushed.GetProduct().GetId(); id != "" {
			return "push " + id
		}
	case *proto.Event_ChatPinned:
		if id := e.ChatPinned.GetMessage().GetId(); id != "" {
			return "pin " + id
		}
	case *proto.Event_ChatSettings:
		for _, term := range e.ChatSettings.BlockedTerms {
			if strings.HasPrefix(term, termPrefix) {
				return "settings " + term
			}
		}
	}
	return ""
}

// onSale returns the products of a room's shelf that can be shown, what is on show last.
func onSale(w *proto.SessionWelcome) (products []string) {
	for _, entry := range w.Shelf {
		if entry.OnSale {
			products = append(products, entry.ProductId)
		}
	}
	if i := slices.Index(products, w.OnShow.GetProduct().GetId()); i >= 0 {
		return slices.Concat(products[i+1:], products[:i+1])
	}
	return products
}

// pushed is the name of the move number n, from 1, that shows a product of the shelf.
func pushed(shelf []string, n int) string {
	if len(shelf) == 0 {
		return ""
	}
	return "push " + shelf[(n-1)%len(shelf)]
}

// changed is the name of the change number n of the chat's settings, which one more blocked term makes.
func changed(tag string, n int) string {
	return fmt.Sprintf("settings %s%s %d", termPrefix, strings.ToLower(tag), n)
}

// steer has the host do what the schedule says, and puts the chat's settings back in the end.
func (r *playRun) steer(ctx context.Context, begin time.Time) {
	welcome := r.host.current().Welcome()
	before := welcome.ChatSettings
	if before == nil {
		before = &proto.ChatSettings{}
	}
	shelf := onSale(welcome)
	var moves sync.WaitGroup // with the host
	pushes, changes, pinned := 0, 0, ""
	move := func(kind Kind, name string, due time.Time, cmd *proto.Command) {
		moves.Go(func() { r.move(ctx, kind, name, due, cmd) }) // ends with the outcome
	}
	arrivals := func(yield func(Arrival) bool) {
		for a := range NewSchedule(r.Plan, r.Seed).All() {
			if a.Kind.hosts() && !yield(a) {
				return
			}
		}
	}
	// The end of ctx ends handing out the others' part too, where it is told.
	_ = NewPacer(begin, r.meter).Run(ctx, arrivals, func(a Arrival, due time.Time) {
		switch a.Kind {
		case KindPush:
			pushes++
			if name := pushed(shelf, pushes); name != "" {
				_, id, _ := strings.Cut(name, " ")
				move(a.Kind, name, due, &proto.Command{Command: &proto.Command_ProductPush{ProductPush: &proto.ProductPush{ProductId: id, DurationMs: showFor.Milliseconds()}}})
			}
		case KindPin:
			id := r.host.history.newestComment()
			if id == "" || id == pinned {
				return // there is nothing new to pin
			}
			pinned = id
			if r.crowd != nil {
				r.crowd.audience.say("pin "+id, due)
			}
			move(a.Kind, "pin "+id, due, &proto.Command{Command: &proto.Command_ChatPin{ChatPin: &proto.ChatPin{MessageId: id}}})
		case KindSettings:
			changes++
			name := changed(r.tag, changes)
			_, term, _ := strings.Cut(name, " ")
			settings := proto.Clone(before)
			settings.BlockedTerms = append(settings.BlockedTerms, term)
			move(a.Kind, name, due, configured(settings))
		}
	})
	moves.Wait()
	if changes > 0 {
		r.putBack(ctx, before)
	}
}

func configured(settings *proto.ChatSettings) *proto.Command {
	return &proto.Command{Command: &proto.Command_ChatConfigure{ChatConfigure: &proto.ChatConfigure{Settings: settings}}}
}

// move sends a command of the host and waits for the outcome.
func (r *playRun) move(ctx context.Context, kind Kind, name string, due time.Time, cmd *proto.Command) {
	r.meter.Count("sent."+kind.String(), 1)
	reply, err := r.host.askSince(ctx, cmd, due)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		r.unknown.add("%s of the host: %v", cmd.Kind(), err)
		return
	}
	r.meter.Time("reply."+cmd.Kind(), time.Since(due))
	if e := reply.GetError(); e != nil {
		r.meter.Count("refused."+cmd.Kind()+"."+e.Reason, 1)
		r.refused.Add(1)
		return
	}
	r.meter.Count("ok."+cmd.Kind(), 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[name]++
}

// putBack restores the chat's settings, after an interruption too.
func (r *playRun) putBack(ctx context.Context, before *proto.ChatSettings) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	reply, err := r.host.ask(ctx, configured(before))
	if err == nil && reply.GetError() != nil {
		err = errors.New(reply.GetError().Reason)
	}
	if err != nil {
		r.unknown.add("the chat's settings were not put back: %v", err)
	}
}

// checkHost holds that each move of the host that was done was told to each watcher as often as it was done.
func (r *playRun) checkHost() Check {
	var bad []string
	n := 0
	for _, times := range r.done {
		n += times
	}
	for _, p := range r.staying() {
		p.history.mu.Lock()
		for move, times := range r.done {
			if got := p.history.moves[move]; got != times {
				bad = append(bad, fmt.Sprintf("%s was told %d times of %q, which was done %d times", p.id, got, move, times))
			}
		}
		for move := range p.history.moves {
			if r.done[move] == 0 {
				bad = append(bad, fmt.Sprintf("%s was told of %q, which nobody did", p.id, move))
			}
		}
		p.history.mu.Unlock()
	}
	return verdict("host_told_once", bad, "%d moves of the host × %d viewers", n, len(r.staying()))
}
