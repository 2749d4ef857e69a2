package chat

import (
	"context"
	"errors"
	"log/slog"
	"time"
	"unicode/utf8"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

const (
	// maxBatch is how many comments share one pipeline.
	maxBatch = 128
	// maxWaiting is how many comments may wait for the pipeline before more are refused as busy.
	maxWaiting = 4096
)

// exempt reports whether rate, duplicates, slow mode and a closed chat do not concern a role.
func exempt(role proto.Role) bool { return role.Moderates() || role == proto.Role_ROLE_BOT }

// Post says text in a room and returns the comment. With a request id that by used for the same text
// in the same room less than a minute ago it returns that comment again, whatever has changed since,
// and says nothing. An empty request id is none.
//
// Refusals: the errors of this package, a Problem "room_not_found", and "invalid_argument" for a
// request id of more than 64 characters.
func (c *Chat) Post(ctx context.Context, roomID string, by *proto.User, requestID, text string) (*proto.ChatMessage, error) {
	message, what, err := c.post(ctx, roomID, by, requestID, text)
	if err != nil {
		c.metrics.refused(err)
		return nil, err
	}
	c.metrics.comments.WithLabelValues(string(what)).Inc()
	return message, nil
}

func (c *Chat) post(ctx context.Context, roomID string, by *proto.User, requestID, text string) (*proto.ChatMessage, outcome, error) {
	switch {
	case by.GetId() == "":
		return nil, "", ErrSignInRequired
	case !store.ValidID(roomID):
		return nil, "", store.ErrNoRoom
	case utf8.RuneCountInString(requestID) > proto.MaxRequestID:
		return nil, "", invalid("a request_id holds at most %d characters", proto.MaxRequestID)
	}
	text, err := Clean(text)
	if err != nil {
		return nil, "", err
	}
	a, err := c.newAsk(roomID, by, requestID, text)
	if err != nil {
		return nil, "", err
	}
	room, refusal := c.rooms.admit(ctx, roomID, by, text)
	if refusal != nil {
		a.lookUp = true
	} else {
		a.slow = time.Duration(room.settings.SlowModeMs) * time.Millisecond
	}
	if a.lookUp && !answerable(a, refusal) {
		return nil, "", refusal
	}
	v, err := c.feed.ask(ctx, a)
	switch {
	case v.outcome == outcomeSame:
		message, err := c.again(ctx, a, v.payload)
		return message, v.outcome, err
	case refusal != nil:
		return nil, "", refusal
	case err != nil:
		return nil, "", err
	}
	if err := v.refusal(); err != nil {
		return nil, "", err
	}
	return a.message, v.outcome, nil
}

// answerable reports whether a refused comment may be one that was answered before: it has a request
// id, and the refusal is a word about the comment rather than a failure to find one.
func answerable(a *ask, refusal error) bool {
	var p *proto.Problem
	return a.keep > 0 && errors.As(refusal, &p) && !errors.Is(refusal, store.ErrNoRoom)
}

func (c *Chat) newAsk(roomID string, by *proto.User, requestID, text string) (*ask, error) {
	a := &ask{
		roomID: roomID,
		message: &proto.ChatMessage{
			Id:     store.NewID(idPrefix),
			User:   &proto.User{Id: by.Id, Name: by.Name, Role: by.Role},
			Text:   text,
			TimeMs: time.Now().UnixMilli(),
		},
		contentHash: contentHash(roomID, text),
		textHash:    contentHash(text),
		requestHash: contentHash(requestID),
		exempt:      exempt(by.Role),
		verdict:     make(chan verdict, 1),
	}
	if requestID != "" {
		a.keep = c.keep
	}
	var err error
	a.payload, err = proto.Encode(proto.Binary, a.message)
	return a, err
}

// again returns the comment of an earlier request. Where the gateway that took it died before it was
// said, it is said now.
func (c *Chat) again(ctx context.Context, a *ask, payload []byte) (*proto.ChatMessage, error) {
	message := new(proto.ChatMessage)
	if err := proto.Decode(proto.Binary, payload, message); err != nil {
		return nil, err
	}
	// Without Redis nobody knows whether it was said; the sender's answer does not depend on it.
	if said, err := c.history.said(ctx, a.roomID, message.Id); err != nil || said {
		return message, nil
	}
	if err := c.feed.say(ctx, []*line{{roomID: a.roomID, messages: []*proto.ChatMessage{message}, payloads: [][]byte{payload}}})[0]; err != nil {
		return nil, err
	}
	return message, nil
}

// line is what one batch says in one room.
type line struct {
	roomID   string
	messages []*proto.ChatMessage
	payloads [][]byte
	asks     []*ask
}

// feed takes comments one batch at a time: the first goes at once, others gather while it is under
// way.
type feed struct {
	asks    chan *ask
	stopped chan struct{} // closed when run has returned
	limiter *limiter
	history *history
	bus     *bus.Bus
	log     *slog.Logger
}

func newFeed(h *history, b *bus.Bus, log *slog.Logger, l *limiter) *feed {
	return &feed{asks: make(chan *ask, maxWaiting), stopped: make(chan struct{}), limiter: l, history: h, bus: b, log: log}
}

// ask hands a comment to the loop and waits for its verdict.
func (f *feed) ask(ctx context.Context, a *ask) (verdict, error) {
	select {
	case f.asks <- a:
	default:
		return verdict{}, ErrBusy
	}
	select {
	case v := <-a.verdict:
		return v, nil
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	case <-f.stopped:
	}
	select { // answered by the last batch
	case v := <-a.verdict:
		return v, nil
	default:
		return verdict{}, ErrTryAgain
	}
}

func (f *feed) run(ctx context.Context) {
	defer close(f.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-f.asks:
			// What was begun is finished; its parts have time limits of their own.
			f.process(context.WithoutCancel(ctx), f.gather(a))
		}
	}
}

func (f *feed) gather(first *ask) []*ask {
	batch := []*ask{first}
	for len(batch) < maxBatch {
		select {
		case a := <-f.asks:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

func (f *feed) process(ctx context.Context, batch []*ask) {
	verdicts := f.limiter.decide(ctx, batch)
	byRoom := map[string]*line{}
	var lines []*line
	for i, a := range batch {
		if verdicts[i].outcome != outcomeOK {
			a.verdict <- verdicts[i]
			continue
		}
		l := byRoom[a.roomID]
		if l == nil {
			l = &line{roomID: a.roomID}
			byRoom[a.roomID] = l
			lines = append(lines, l)
		}
		l.messages, l.payloads, l.asks = append(l.messages, a.message), append(l.payloads, a.payload), append(l.asks, a)
	}
	for i, err := range f.say(ctx, lines) {
		for _, a := range lines[i].asks {
			a.verdict <- verdict{outcome: outcomeOK, err: err}
		}
	}
}

// say publishes lines and adds them to the recent comments, in this order: a comment is among the
// recent ones only if it was said. It returns one error a line, for what could not be published.
func (f *feed) say(ctx context.Context, lines []*line) []error {
	errs := make([]error, len(lines))
	var said []*line
	for i, l := range lines {
		events := make([]*proto.Event, len(l.messages))
		for k, m := range l.messages {
			events[k] = &proto.Event{TimeMs: m.TimeMs, Event: &proto.Event_ChatMessage{ChatMessage: m}}
		}
		if err := f.bus.PublishRoom(l.roomID, events...); err != nil {
			f.log.Warn("comments were not said", "room", l.roomID, "count", len(events), "err", err)
			errs[i] = ErrTryAgain
			continue
		}
		said = append(said, l)
	}
	if err := f.history.add(ctx, said); err != nil && !errors.Is(err, errPaused) {
		f.log.Warn("comments are missing among the recent ones", "err", err)
	}
	return errs
}
