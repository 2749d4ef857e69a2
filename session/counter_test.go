package session

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Gateways come, count, die and are replaced, and Redis loses everything now and then; likes and
// visits stay what a single counter would say.
func TestCountersAgainstOneCounter(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	rooms := 0
	rapid.Check(t, func(rt *rapid.T) {
		rooms++
		room := fmt.Sprint("room-", rooms)
		w.room(room, true)
		gateways := []*Presence{w.presence(rdb), w.presence(rdb), w.presence(rdb)}
		here := [3]int{}
		var likes, visits, most int64
		named := map[string]bool{}
		steps := rapid.IntRange(1, 25).Draw(rt, "steps")
		for range steps {
			g := rapid.IntRange(0, 2).Draw(rt, "gateway")
			p := gateways[g]
			switch rapid.SampledFrom([]string{"join", "leave", "like", "tick", "save", "lose", "die"}).Draw(rt, "step") {
			case "join":
				v := viewer(fmt.Sprint(g, "-", here[g]))
				p.Join(room, v)
				named[v.ID] = true
				here[g]++
				visits++
				most = max(most, int64(here[0]+here[1]+here[2]))
			case "leave":
				if here[g] > 0 {
					here[g]--
					p.Leave(room, viewer(fmt.Sprint(g, "-", here[g])))
				}
			case "like":
				n := rapid.Int64Range(1, 100).Draw(rt, "likes")
				p.rooms.with(p.run, room, func(r *presentRoom) { r.own.likes += n; r.settled = false })
				likes += n
			case "tick":
				p.tick(t.Context())
			case "save":
				p.save(t.Context())
			case "lose":
				w.must(rdb.FlushDB(t.Context()).Err())
			case "die":
				// What it acknowledged was written; the last save was its own or another's.
				p.tick(t.Context())
				p.save(t.Context())
				w.must(rdb.HDel(t.Context(), counterKeys(room)[2], partOf(p, room)).Err()) // as after 10 s
				gateways[g], here[g] = w.presence(rdb), 0
			}
		}
		reader := w.presence(rdb)
		reader.Join(room, viewer("reader"))
		for range 2 {
			for _, p := range append(gateways, reader) {
				p.tick(t.Context())
			}
		}
		got := reader.Stats(room)
		if got.Likes != likes || got.Visits != visits+1 || got.Online != int64(here[0]+here[1]+here[2])+1 {
			rt.Fatalf("figures are %v, want %d likes, %d visits", got, likes, visits+1)
		}
		if got.Unique > int64(len(named))+1 || !got.UniqueLowerBound && got.Unique != int64(len(named))+1 || got.Peak > most+1 {
			rt.Fatalf("figures are %v of %d viewers, at most %d at once", got, len(named)+1, most+1)
		}
	})
}

func partOf(p *Presence, room string) string {
	if r := p.rooms.find(room); r != nil {
		return r.part
	}
	return ""
}
