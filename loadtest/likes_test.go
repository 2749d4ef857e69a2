package loadtest

import (
	"testing"
	"testing/synctest"
	"time"

	"livecart/proto"
)

// shows is a frame that tells a total of likes.
func shows(total int64) *proto.ServerFrame {
	return &proto.ServerFrame{Events: []*proto.Event{{Event: &proto.Event_LikeTotal{LikeTotal: &proto.LikeTotal{Total: total}}}}}
}

// A like is shown with the first total that holds it, whichever of reply and total comes first.
func TestLikeIsShownWithTheFirstTotalThatHoldsIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(b *likeBoard, r *likeReader, begin time.Time)
		want []float64 // shortest and longest, ms; nil for nothing measured
	}{
		{"reply first", func(b *likeBoard, r *likeReader, begin time.Time) {
			b.liked(7, begin)
			time.Sleep(time.Second)
			r.frame(shows(6)) // does not hold it
			time.Sleep(time.Second)
			r.frame(shows(9))
		}, []float64{2000, 2000}},
		{"total first", func(b *likeBoard, r *likeReader, begin time.Time) {
			time.Sleep(time.Second)
			r.frame(shows(7))
			time.Sleep(time.Second)
			r.frame(shows(8))
			b.liked(7, begin)
		}, []float64{1000, 1000}},
		{"two likes of one total", func(b *likeBoard, r *likeReader, begin time.Time) {
			b.liked(7, begin)
			time.Sleep(time.Second)
			b.liked(8, begin.Add(time.Second))
			time.Sleep(time.Second)
			r.frame(shows(8))
		}, []float64{1000, 2000}},
		{"never", func(b *likeBoard, r *likeReader, begin time.Time) {
			b.liked(7, begin)
			r.frame(shows(6))
			r.frame(&proto.ServerFrame{})
		}, nil},
		{"the room's figures", func(b *likeBoard, r *likeReader, begin time.Time) {
			b.liked(7, begin)
			time.Sleep(time.Second)
			r.frame(&proto.ServerFrame{Events: []*proto.Event{{Event: &proto.Event_RoomStats{RoomStats: &proto.RoomStats{Likes: 7}}}}})
		}, []float64{1000, 1000}},
		{"after more totals than are kept", func(b *likeBoard, r *likeReader, begin time.Time) {
			for total := range int64(totalsKept + 2) {
				time.Sleep(time.Second)
				r.frame(shows(total + 1))
			}
			b.liked(1, begin) // the first total that is left is the third
		}, []float64{3000, 3000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &likeBoard{meter: NewMeter(time.Now())}
				tt.play(b, b.reader(), time.Now())
				all := b.meter.Latencies()
				if tt.want == nil {
					if len(all) > 0 {
						t.Errorf("%+v", all)
					}
					return
				}
				if len(all) != 1 || all[0].Name != "delivery.like" || !near(all[0].Percentile(0), tt.want[0]) || !near(all[0].Max, tt.want[1]) {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// near holds that a time is the one wanted, to the digits that are kept.
func near(got, want float64) bool { return got >= want*0.999 && got <= want*1.002 }

func TestLikesAreLookedAtByAFew(t *testing.T) {
	b := &likeBoard{meter: NewMeter(time.Now())}
	for range mostLikeReaders {
		if b.reader() == nil {
			t.Fatal("too few")
		}
	}
	r := b.reader()
	if r != nil {
		t.Error("too many")
	}
	r.frame(shows(1)) // is not looked at
	b.liked(1, time.Now())
	if all := b.meter.Latencies(); len(all) > 0 {
		t.Errorf("%+v", all)
	}
}
