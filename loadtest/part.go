package loadtest

import (
	"iter"
	"time"
)

// part is which viewers one of several processes plays: every one whose number, divided by Of, leaves
// Number. All parts together are everybody; the zero value is so by itself.
type part struct {
	Number int `json:"number"`
	Of     int `json:"of"`
}

// has reports whether a viewer is of the part.
func (p part) has(viewer uint32) bool { return p.Of <= 1 || int(viewer)%p.Of == p.Number }

// index is the place of a viewer of the part among those of the part.
func (p part) index(viewer uint32) int { return int(viewer) / max(p.Of, 1) }

// count is how many of the first n viewers are of the part.
func (p part) count(n int) int {
	of := max(p.Of, 1)
	return (n - p.Number + of - 1) / of
}

// foresight is how long before an arrival of a part everything is known that is due until then: what others
// do may be told here before this process gets to it, which may be late.
const foresight = 2 * time.Second

// arrivals returns those of the part's viewers, none of which is the host. Each of everybody's is shown to
// seen before, in time.
func (p part) arrivals(all iter.Seq[Arrival], seen func(Arrival)) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		var own []Arrival // that were seen and are not handed out
		for a := range all {
			seen(a)
			if p.has(a.Viewer) && !a.Kind.hosts() {
				own = append(own, a)
			}
			for len(own) > 0 && a.At-own[0].At > foresight {
				if !yield(own[0]) {
					return
				}
				own = own[1:]
			}
		}
		for _, a := range own {
			if !yield(a) {
				return
			}
		}
	}
}
