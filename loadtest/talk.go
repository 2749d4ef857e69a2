package loadtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"livecart/proto"
)

// tipRecord is an acknowledged gift.
type tipRecord struct {
	sender *person
	key    string
	beans  int64
	tipIDs []string
}

// talk lets comments, likes and gifts go round at once.
func (r *smokeRun) talk(ctx context.Context) error {
	giftID, price, err := r.front.cheapestGift(ctx)
	if err != nil {
		return err
	}
	if price*giftsEach > beansEach {
		return fmt.Errorf("%w: the cheapest gift costs %d beans", ErrInvalid, price)
	}
	group, ctx := errgroup.WithContext(ctx)
	n := r.CommentRate * r.TalkSeconds
	interval := time.Second / time.Duration(r.CommentRate)
	begin := time.Now()
	for i := range n {
		p := r.watchers[i%len(r.watchers)]
		at := begin.Add(time.Duration(i) * interval)
		group.Go(func() error {
			pause(ctx, time.Until(at))
			return r.comment(ctx, p, i, at)
		})
	}
	for i, p := range r.watchers {
		group.Go(func() error {
			pause(ctx, time.Duration(i)*time.Duration(r.TalkSeconds)*time.Second/time.Duration(len(r.watchers)))
			return r.like(ctx, p, int32(1+i%10))
		})
	}
	for _, p := range r.gifters {
		group.Go(func() error { return r.gifts(ctx, p, giftID, price) })
	}
	return group.Wait()
}

// comment posts number i, which was due at a time.
func (r *smokeRun) comment(ctx context.Context, p *person, i int, due time.Time) error {
	text := fmt.Sprintf("comment %d of %s", i, p.id)
	r.crowd.audience.say(text, due)
	reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}})
	if err != nil {
		return err
	}
	id := reply.GetOk().GetChatMessage().GetId()
	if id == "" {
		return fmt.Errorf("comment %d of %s was refused: %v", i, p.id, reply.GetError())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.comments[id] = true
	return nil
}

func (r *smokeRun) like(ctx context.Context, p *person, count int32) error {
	reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: count}}})
	if err != nil {
		return err
	}
	if reply.GetOk() == nil {
		return fmt.Errorf("likes of %s were refused: %v", p.id, reply.GetError())
	}
	r.likes.Add(int64(count))
	return nil
}

// gifts sends one combo. Every second gift loses its reply with the connection, every third is asked
// for once more after its reply: the answer must be the same each time.
func (r *smokeRun) gifts(ctx context.Context, p *person, giftID string, price int64) error {
	combo := NewRequestID()
	for i := range giftsEach {
		cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: giftID, Count: 1, ComboId: combo}}}
		if i%2 == 1 {
			v := p.current()
			p.note(cmd, time.Now(), nil)
			if err := v.Send(cmd); err != nil && !errors.Is(err, ErrCut) {
				return err
			}
			v.Cut() // ask comes back and sends it again
		}
		reply, err := p.ask(ctx, cmd)
		if err != nil {
			return err
		}
		sent := reply.GetOk().GetGiftSent()
		if sent == nil {
			return fmt.Errorf("gift of %s was refused: %v", p.id, reply.GetError())
		}
		if i%3 == 2 {
			second, err := p.ask(ctx, cmd)
			if err != nil {
				return err
			}
			if got := second.GetOk().GetGiftSent(); fmt.Sprint(got.GetTipIds()) != fmt.Sprint(sent.TipIds) {
				r.note("gift_send %s was tip %v and then %v (%v)", cmd.RequestId, sent.TipIds, got.GetTipIds(), second.GetError())
			}
		}
		r.mu.Lock()
		r.tips = append(r.tips, tipRecord{sender: p, key: cmd.RequestId, beans: price, tipIDs: sent.TipIds})
		r.mu.Unlock()
		pause(ctx, jitter(time.Duration(r.TalkSeconds)*time.Second/giftsEach/2))
	}
	return nil
}

func (r *smokeRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, fmt.Sprintf(format, args...))
}

// settle waits until everybody has been told of every comment, at most ten seconds: what is missing
// then, the check tells.
func (r *smokeRun) settle(ctx context.Context) error {
	until(ctx, r.pace.news, func() bool {
		return r.told(len(r.comments)) && r.host.history.likes() >= r.likesBefore+r.likes.Load()
	})
	return ctx.Err()
}

// told reports whether every watcher was told of so many comments.
func (r *smokeRun) told(comments int) bool {
	for _, p := range r.staying() {
		if p.history.told() < comments {
			return false
		}
	}
	return true
}
