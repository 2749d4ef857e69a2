package session

import (
	"fmt"
	"testing"
	"time"

	"livecart/proto"
)

// busyTick is what a busy room sees in one tick: mostly comments, some tips, likes, stock, a pin.
func busyTick(n int) []*proto.Event {
	events := make([]*proto.Event, 0, n)
	for i := range n {
		switch {
		case i%10 == 3:
			events = append(events, gift(fmt.Sprint("user", i%5), "combo", fmt.Sprint("tip", i), 1, int64(i), 1))
		case i%10 == 6:
			events = append(events, &proto.Event{Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{SaleId: "s", Rev: int64(i)}}})
		case i%50 == 9:
			events = append(events, pin(int64(i)))
		default:
			events = append(events, comment(fmt.Sprint("user", i), proto.Role_ROLE_VIEWER, "this one looks good, does it come in green?"))
		}
	}
	return events
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		events := busyTick(n)
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var batch batch
				for _, ev := range events {
					batch.add(ev)
				}
				batch.take(20, byRole)
			}
		})
	}
}

func BenchmarkBroadcast(b *testing.B) {
	for _, n := range []int{1, 20, 100} {
		for f := range proto.Formats {
			events := busyTick(n)
			var inUse [proto.Formats]int
			inUse[f] = 1
			b.Run(fmt.Sprintf("format=%s/events=%d", proto.Format(f), n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := newBroadcast(events, n, 0, inUse); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkFlush is one tick of a room, from the batch into every viewer's queue.
func BenchmarkFlush(b *testing.B) {
	for _, viewers := range []int{100, 1000, 10_000} {
		lone := loneConn(b, proto.Binary)
		a := lone.room
		for n := range viewers {
			c := newConn(lone.gw, a, lone.shard, *lone.entered, proto.Format(n%2), time.Now())
			c.sock = new(takesAll)
			a.admit(c, func() {})
		}
		events := busyTick(20)
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			b.ReportAllocs()
			now := time.Now()
			for b.Loop() {
				for _, ev := range events {
					a.enqueue(ev, now)
				}
				a.flush(now, a.sections[:])
				lone.shard.walkAll()
			}
		})
	}
}

func BenchmarkWelcome(b *testing.B) {
	w := &proto.SessionWelcome{Seq: 7, Room: &proto.Room{Id: "demo", Title: "Demo"}, OnShow: &proto.ProductPushed{Product: product("p", 1, 100, 200)}}
	for n := range MaxWelcomeComments {
		w.Comments = append(w.Comments, &proto.ChatMessage{Id: fmt.Sprint("msg_", n), User: &proto.User{Id: fmt.Sprint("user", n)}, Text: "this one looks good, does it come in green?"})
	}
	for n := range MaxWelcomeShelf {
		w.Shelf = append(w.Shelf, &proto.ShelfEntry{ProductId: fmt.Sprint("prd_", n), Title: "A product of some name", ImageUrl: "https://shop.example/picture.jpg", PriceFrom: 9900})
	}
	s := newSnapshot(w)
	for f := range proto.Formats {
		b.Run("format="+proto.Format(f).String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.fitting(proto.Format(f), 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
