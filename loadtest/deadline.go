package loadtest

import (
	"container/heap"
	"time"
)

// deadline is a time until which something must have happened.
type deadline struct {
	at     time.Time
	passed func()
	index  int // in the heap, -1 outside
}

// deadlines keeps very many of them with one heap and no timer. Not safe for concurrent use.
type deadlines struct{ heap deadlineHeap }

// add lets expire call passed when at has come.
func (d *deadlines) add(at time.Time, passed func()) *deadline {
	e := &deadline{at: at, passed: passed}
	heap.Push(&d.heap, e)
	return e
}

// remove forgets one; one that has passed or was removed before is none.
func (d *deadlines) remove(e *deadline) {
	if e.index >= 0 {
		heap.Remove(&d.heap, e.index)
	}
}

// next returns the first; ok is false when there is none.
func (d *deadlines) next() (at time.Time, ok bool) {
	if len(d.heap) == 0 {
		return time.Time{}, false
	}
	return d.heap[0].at, true
}

// expire calls, in order, what passed by now.
func (d *deadlines) expire(now time.Time) {
	for len(d.heap) > 0 && !d.heap[0].at.After(now) {
		heap.Pop(&d.heap).(*deadline).passed()
	}
}

// deadlineHeap is a container/heap, the first on top.
type deadlineHeap []*deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *deadlineHeap) Push(e any) {
	e.(*deadline).index = len(*h)
	*h = append(*h, e.(*deadline))
}

func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	e.index = -1
	return e
}
