package session

import (
	"context"
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
		var likes, visits int64
		// What each gateway last told of here, the reader's among them, and the most that these ever came to: who
		// moves from one that tells later is in two of them for a moment.
		told, most := [4]int{}, 0
		tell := func(g, online int) {
			told[g] = online
			most = max(most, told[0]+told[1]+told[2]+told[3])
		}
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
				tell(g, here[g])
			case "save":
				p.save(t.Context())
			case "lose":
				w.must(rdb.FlushDB(t.Context()).Err())
				told = [4]int{}
			case "die":
				// What it acknowledged was written; the last save was its own or another's.
				p.tick(t.Context())
				tell(g, here[g])
				p.save(t.Context())
				w.must(rdb.HDel(t.Context(), counterKeys(room)[2], partOf(p, room)).Err()) // as after 10 s
				gateways[g], here[g], told[g] = w.presence(rdb), 0, 0
			}
		}
		reader := w.presence(rdb)
		reader.Join(room, viewer("reader"))
		for range 2 {
			for g, p := range append(gateways, reader) {
				p.tick(t.Context())
				tell(g, append(here[:], 1)[g])
			}
		}
		got := reader.Stats(room)
		if got.Likes != likes || got.Visits != visits+1 || got.Online != int64(here[0]+here[1]+here[2])+1 {
			rt.Fatalf("figures are %v, want %d likes, %d visits", got, likes, visits+1)
		}
		if got.Unique > int64(len(named))+1 || !got.UniqueLowerBound && got.Unique != int64(len(named))+1 || got.Peak > int64(most) {
			rt.Fatalf("figures are %v of %d viewers, at most %d told of at once", got, len(named)+1, most)
		}
	})
}

func partOf(p *Presence, room string) string {
	if r := p.rooms.find(room); r != nil {
		return r.part
	}
	return ""
}

func TestSavedTotalsNeverFall(t *testing.T) {
	w := newWorld(t)
	rdb := w.redis(w.rdb)
	a := w.presence(rdb)
	a.Join("demo", viewer(1))
	a.Join("demo", viewer(2))
	a.like(50)
	tick(t, a)
	a.save(t.Context())
	if a.rooms.find("demo").unsaved {
		t.Error("saved and still to be saved")
	}
	w.must(rdb.FlushDB(t.Context()).Err())
	// A gateway that knows nothing, and may not ask, saves less.
	b := w.presence(rdb)
	b.rooms.with(b.run, "demo", func(r *presentRoom) { r.own, r.unsaved = figures{visits: 1, likes: 1}, true })
	b.rooms.with(b.run, "nowhere", func(r *presentRoom) { r.own, r.unsaved = figures{visits: 1, likes: 1}, true })
	b.save(t.Context())
	var peak, visits, unique, likes int64
	w.must(w.pool.QueryRow(t.Context(), `SELECT peak, visits, unique_viewers, likes FROM room_counter`).Scan(&peak, &visits, &unique, &likes))
	if peak != 2 || visits != 2 || unique != 2 || likes != 50 {
		t.Errorf("saved are peak %d, visits %d, unique %d, likes %d", peak, visits, unique, likes)
	}
	// Both parts are kept, so the next sum holds both.
	c := w.presence(rdb)
	c.Join("demo", viewer(3))
	tick(t, c)
	if got := c.demo(t); got.Likes != 51 || got.Visits != 4 {
		t.Errorf("figures are %v", got)
	}
}

func TestSavingAgainAfterAFailure(t *testing.T) {
	w := newWorld(t)
	p := w.presence(w.redis(w.rdb))
	p.Join("demo", viewer(1))
	tick(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.save(ctx)
	if !p.rooms.find("demo").unsaved {
		t.Error("a failed save counts as done")
	}
	p.save(t.Context())
	saved, err := savedCounters(t.Context(), w.pool, []string{"demo"})
	if err != nil || saved["demo"].sums.visits != 1 {
		t.Errorf("saved %+v, %v", saved, err)
	}
}
