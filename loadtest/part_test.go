package loadtest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// All parts together are the schedule of one process, each viewer in one of them.
func TestPartsAreTheWhole(t *testing.T) {
	s := stages(Stage{5 * time.Second, 1}, Stage{5 * time.Second, 0.5})
	s.Stay, s.Returns, s.Comments, s.Likes, s.Gifts, s.Publish = 2*time.Second, 0.5, 20, 50, 20, 5
	s.Sale = Sale{At: 5 * time.Second, Over: time.Second, Buyers: 0.5, PerPiece: 5, Bots: 0.4}
	p := plan(t, s, 200)
	whole := slices.Collect(NewSchedule(p, 9).All())
	for _, of := range []int{1, 2, 3, 7} {
		t.Run(fmt.Sprintf("of=%d", of), func(t *testing.T) {
			var merged []Arrival
			parts := make([][]Arrival, of)
			regulars := 0
			for n := range of {
				own, seen := part{n, of}, 0
				parts[n] = slices.Collect(own.arrivals(NewSchedule(p, 9).All(), func(a Arrival) {
					if a != whole[seen] {
						t.Fatalf("part %d was shown %v as number %d, not %v", n, a, seen, whole[seen])
					}
					seen++
				}))
				if seen != len(whole) {
					t.Errorf("part %d was shown %d of %d", n, seen, len(whole))
				}
				regulars += own.count(p.Regulars)
			}
			for _, a := range whole {
				n := int(a.Viewer) % of
				if len(parts[n]) == 0 || parts[n][0] != a {
					t.Fatalf("%v is not the next of part %d", a, n)
				}
				merged, parts[n] = append(merged, a), parts[n][1:]
			}
			for n, rest := range parts {
				if len(rest) > 0 {
					t.Errorf("part %d has %d arrivals that are none", n, len(rest))
				}
			}
			if regulars != p.Regulars || !slices.Equal(merged, whole) {
				t.Errorf("%d of %d regulars", regulars, p.Regulars)
			}
		})
	}
}

func TestPartCounts(t *testing.T) {
	for _, tt := range []struct {
		part part
		n    int
		want int
	}{
		{part{}, 5, 5}, {part{}, 0, 0}, {part{0, 1}, 5, 5},
		{part{0, 3}, 0, 0}, {part{2, 3}, 0, 0}, {part{0, 3}, 1, 1}, {part{1, 3}, 1, 0}, {part{2, 3}, 2, 0}, {part{2, 3}, 3, 1}, {part{0, 3}, 7, 3}, {part{1, 3}, 7, 2},
	} {
		if got := tt.part.count(tt.n); got != tt.want {
			t.Errorf("%+v has %d of the first %d, want %d", tt.part, got, tt.n, tt.want)
		}
		place := 0
		for viewer := range uint32(tt.n) {
			if !tt.part.has(viewer) {
				continue
			}
			if tt.part.index(viewer) != place {
				t.Errorf("%+v: viewer %d is at %d, not %d", tt.part, viewer, tt.part.index(viewer), place)
			}
			place++
		}
	}
}
