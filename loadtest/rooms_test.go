package loadtest

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

// house is a gateway of many rooms in memory.
type house struct {
	*gateway
	// hears says whether a viewer of a room is told of a comment of another one, or of the own room.
	hears func(own, of string, said int) bool

	mu      sync.Mutex
	phases  map[string]string // of rooms, by id
	sockets map[*socket]bool
	said    int
}

func openHouse(t testing.TB, hears func(own, of string, said int) bool) (*house, Target) {
	t.Helper()
	h := &house{hears: hears, phases: map[string]string{}, sockets: map[*socket]bool{}}
	h.gateway = serve(t, func(g *gateway) {
		g.HandleFunc("POST /v1/rooms", func(w http.ResponseWriter, r *http.Request) {
			var made proto.Room
			body := make([]byte, 4096)
			n, _ := r.Body.Read(body)
			if err := proto.Decode(proto.JSON, body[:n], &made); err != nil {
				t.Error(err)
			}
			h.enter(made.Id, "", "made")
			w.WriteHeader(http.StatusCreated)
		})
		g.HandleFunc("POST /v1/rooms/{room}/start", func(_ http.ResponseWriter, r *http.Request) { h.enter(r.PathValue("room"), "made", "live") })
		g.HandleFunc("POST /v1/rooms/{room}/end", func(_ http.ResponseWriter, r *http.Request) { h.enter(r.PathValue("room"), "live", "ended") })
		g.joined = func(c *socket) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.sockets[c] = true
			c.welcome(&proto.SessionWelcome{Room: &proto.Room{Id: c.room}})
		}
		g.left = func(c *socket) {
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.sockets, c)
		}
		g.answer = h.say
	})
	target := h.target()
	target.JWTKeyFile, target.HostToken = keyFile(t, testKey), hostToken(t)
	return h, target
}

// enter moves a room on.
func (h *house) enter(room, from, to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phases[room] != from {
		h.Errorf("room %q is %q, and not to be %q", room, h.phases[room], to)
	}
	h.phases[room] = to
}

func (h *house) say(c *socket, cmd *proto.Command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said++
	m := &proto.ChatMessage{Id: fmt.Sprint(h.said), Text: cmd.GetChatSend().Text}
	for other := range h.sockets {
		if h.hears(other.room, c.room, h.said) {
			other.events(&proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: m}})
		}
	}
	c.ok(cmd, &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: m}})
}

func honest(own, of string, _ int) bool { return own == of }

// block is a second of seven rooms with 40 viewers.
func block(target Target) Rooms {
	return Rooms{Target: target, Rooms: 7, Viewers: 40, Rate: 20, For: time.Second, Seed: 1, MostLate: time.Minute, news: 2 * time.Second}
}

func TestRoomsPassInAnHonestHouse(t *testing.T) {
	t.Parallel()
	h, target := openHouse(t, honest)
	result, err := block(target).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !result.Passed || result.Scenario != "many-rooms" || result.Counts["ok.chat_send"] != 20 || result.Counts["sent.join"] != 40 {
		t.Errorf("%s: %+v, %v", result.Verdict(), result.Checks, result.Counts)
	}
	if last := result.Checks[len(result.Checks)-1]; last.Detail != "20 comments in 7 of 7 rooms, at 40 viewers" {
		t.Errorf("%+v", last)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.phases) != 7 {
		t.Errorf("%v", h.phases)
	}
	for room, phase := range h.phases {
		if phase != "ended" {
			t.Errorf("room %s is %s", room, phase)
		}
	}
}

// A house that breaks a promise is found out by the check of that promise.
func TestRoomsFindWhatIsBroken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, check, says string
		hears             func(own, of string, said int) bool
	}{
		{"one comment leaks to every room", "rooms_separate", "got comment", func(own, of string, said int) bool { return own == of || said == 9 }},
		{"a room's comments leak to one other", "rooms_separate", "of room 3 got comment", func(own, of string, said int) bool {
			return own == of || strings.HasSuffix(own, "-3") && strings.HasSuffix(of, "-0")
		}},
		{"one comment is lost", "comments_accounted_by_room", "lacks 1 of its", func(own, of string, said int) bool { return own == of && said != 9 }},
		{"a room without its comments", "comments_accounted_by_room", "of room 2 lacks", func(own, of string, said int) bool {
			return own == of && !strings.HasSuffix(own, "-2")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, target := openHouse(t, tt.hears)
			result, err := block(target).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range result.Checks {
				if (c.Name == tt.check) == c.OK || !c.OK && !strings.Contains(c.Detail, tt.says) {
					t.Errorf("%+v", c)
				}
			}
			if result.Passed {
				t.Error("it passed")
			}
		})
	}
}

// A comment that vanishes, and its answer with it, is missing nowhere but among the answers.
func TestRoomsFindACommentWithoutAnswer(t *testing.T) {
	t.Parallel()
	h, target := openHouse(t, honest)
	is := once("chat_send", 9)
	h.answer = func(c *socket, cmd *proto.Command) {
		if !is(cmd) {
			h.say(c, cmd)
		}
	}
	o := block(target)
	o.news = time.Second
	result, err := o.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range result.Checks {
		if c.Name == "outcomes_known" && (c.OK || c.Detail != "1 of 20 comments have none") {
			t.Errorf("%+v", c)
		}
	}
	if result.Passed {
		t.Errorf("it passed: %+v", result.Checks)
	}
}

func TestRoomsThatLoseTheirViewers(t *testing.T) {
	t.Parallel()
	h, target := openHouse(t, honest)
	h.hears = func(own, of string, said int) bool {
		if said == 9 {
			for c := range h.sockets {
				c.Close()
			}
		}
		return own == of
	}
	result, err := block(target).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := result.Checks[0]; c.Name != "viewers_stayed" || c.OK || result.Passed {
		t.Errorf("%+v", result.Checks)
	}
}

// Rooms are ended also where the run was interrupted.
func TestRoomsAreInterrupted(t *testing.T) {
	t.Parallel()
	h, target := openHouse(t, honest)
	ctx, cancel := context.WithCancel(t.Context())
	o := block(target)
	o.For = time.Hour
	o.Progress = func(p Progress) {
		if p.Phase == "sending comments" {
			cancel()
		}
	}
	result, err := o.Run(ctx)
	if err != nil || result.Partial != "the run was interrupted while sending comments" || result.Passed || len(result.Checks) != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for room, phase := range h.phases {
		if phase != "ended" {
			t.Errorf("room %s is %s", room, phase)
		}
	}
}

func TestRoomSizes(t *testing.T) {
	for _, tt := range []struct{ rooms, viewers int }{{1, 1}, {1, 9}, {10, 10}, {10, 11}, {100, 4360}, {10_000, 436_000}, {maxRooms, maxViewers}} {
		sizes := roomSizes(tt.rooms, tt.viewers, 1)
		sum := 0
		for _, size := range sizes {
			sum += size
		}
		if len(sizes) != tt.rooms || sum != tt.viewers || slices.Min(sizes) < 1 || !slices.Equal(sizes, roomSizes(tt.rooms, tt.viewers, 1)) {
			t.Errorf("%d rooms, %d viewers: %d sizes, %d in all, the least %d", tt.rooms, tt.viewers, len(sizes), sum, slices.Min(sizes))
		}
	}
	small := 0
	for _, size := range roomSizes(10_000, 436_000, 1) {
		if size < smallRoom {
			small++
		}
	}
	if math.Abs(float64(small)-8000) > 200 {
		t.Errorf("%d of 10,000 rooms have fewer than 50 viewers", small)
	}
}

func TestRoomsRefuse(t *testing.T) {
	_, target := openHouse(t, honest)
	for _, tt := range []struct {
		name   string
		change func(*Rooms)
		want   string
	}{
		{"no host", func(o *Rooms) { o.Target.HostToken = "" }, "a host's token is needed"},
		{"no room", func(o *Rooms) { o.Rooms = 0 }, "there are 1 to 100000 rooms, not 0"},
		{"too many rooms", func(o *Rooms) { o.Rooms = maxRooms + 1 }, "not 100001"},
		{"empty rooms", func(o *Rooms) { o.Viewers = 6 }, "7 rooms have 7 to 1000000 viewers, not 6"},
		{"no comments", func(o *Rooms) { o.Rate = 0 }, "not 0"},
		{"too many comments", func(o *Rooms) { o.Rate = 27 }, "40 viewers send above 0 and at most 26.67 a second, not 27"},
		{"short comments", func(o *Rooms) { o.MessageBytes = 63 }, "64 to 500 bytes, not 63"},
		{"slow joins", func(o *Rooms) { o.JoinRate = -1 }, "1 to 10000 join a second"},
		{"short", func(o *Rooms) { o.For = time.Second - 1 }, "sent for 1 s to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := block(target)
			tt.change(&o)
			if _, err := o.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
