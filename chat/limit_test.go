package chat

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"livecart/proto"
)

// clocked is a limiter on a Redis whose clock the test turns.
type clocked struct {
	t     testing.TB
	mini  *miniredis.Miniredis
	now   time.Time
	limit *limiter
}

func newClocked(t testing.TB) *clocked {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mini.Close)
	client := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	t.Cleanup(func() { client.Close() })
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &clocked{t: t, mini: mini, now: time.UnixMilli(1_800_000_000_000), limit: &limiter{
		rdb: client, log: slog.New(slog.DiscardHandler), metrics: m,
		rate: 20, window: 30 * time.Second, duplicate: 30 * time.Second, local: newTally(maxTallied),
	}}
	mini.SetTime(c.now)
	return c
}

func (c *clocked) advance(d time.Duration) {
	c.now = c.now.Add(d)
	c.mini.SetTime(c.now)
	c.mini.FastForward(d)
}

func comment(userID, roomID, requestID, text string) *ask {
	a := &ask{
		roomID:      roomID,
		message:     &proto.ChatMessage{User: &proto.User{Id: userID}},
		payload:     []byte(requestID + "\x00\xff\r\n" + text), // any bytes must come back as they are
		contentHash: contentHash(roomID, text),
		textHash:    contentHash(text),
		requestHash: contentHash(requestID),
		verdict:     make(chan verdict, 1),
	}
	if requestID != "" {
		a.keep = time.Minute
	}
	return a
}

func (c *clocked) decide(a *ask) verdict {
	c.t.Helper()
	v := c.limit.decide(c.t.Context(), []*ask{a})[0]
	if c.limit.down {
		c.t.Fatal("the local limit decided")
	}
	return v
}

func (c *clocked) expect(a *ask, want outcome, wait time.Duration) {
	c.t.Helper()
	if v := c.decide(a); v.outcome != want || v.wait != wait {
		c.t.Fatalf("%s after %v, want %s after %v", v.outcome, v.wait, want, wait)
	}
}

func TestRateOfAUser(t *testing.T) {
	c := newClocked(t)
	for i := range 20 {
		c.expect(comment("u", fmt.Sprint("room", i%3), "", fmt.Sprint(i)), outcomeOK, 0)
		c.advance(100 * time.Millisecond)
	}
	c.expect(comment("u", "room0", "", "one more"), outcomeRate, 28*time.Second)
	c.expect(comment("other", "room0", "", "one more"), outcomeOK, 0)
	c.advance(28*time.Second - time.Millisecond)
	c.expect(comment("u", "room0", "", "one more"), outcomeRate, time.Millisecond)
	c.advance(time.Millisecond)
	c.expect(comment("u", "room0", "", "one more"), outcomeOK, 0)
	c.expect(comment("u", "room0", "", "and another"), outcomeRate, 100*time.Millisecond)
}

func TestRefusedCommentsDoNotCount(t *testing.T) {
	c := newClocked(t)
	c.expect(comment("u", "room", "", "same"), outcomeOK, 0)
	for range 40 {
		c.expect(comment("u", "room", "", "same"), outcomeDuplicate, 30*time.Second)
	}
	for i := range 19 {
		c.expect(comment("u", "room", "", fmt.Sprint(i)), outcomeOK, 0)
	}
	c.expect(comment("u", "room", "", "21st"), outcomeRate, 30*time.Second)
}

func TestDuplicateWithin30Seconds(t *testing.T) {
	c := newClocked(t)
	c.expect(comment("u", "room", "", "hello"), outcomeOK, 0)
	c.expect(comment("u", "another", "", "hello"), outcomeOK, 0)
	c.expect(comment("v", "room", "", "hello"), outcomeOK, 0)
	c.advance(29_900 * time.Millisecond)
	c.expect(comment("u", "room", "", "hello"), outcomeDuplicate, 100*time.Millisecond)
	c.advance(100 * time.Millisecond)
	c.expect(comment("u", "room", "", "hello"), outcomeOK, 0)
}

func TestSlowMode(t *testing.T) {
	c := newClocked(t)
	slow := func(room, text string) *ask {
		a := comment("u", room, "", text)
		a.slow = 10 * time.Second
		return a
	}
	c.expect(slow("room", "1"), outcomeOK, 0)
	c.advance(9999 * time.Millisecond)
	c.expect(slow("room", "2"), outcomeSlow, time.Millisecond)
	c.expect(slow("another", "2"), outcomeOK, 0)
	c.advance(time.Millisecond)
	c.expect(slow("room", "2"), outcomeOK, 0)
}

func TestRequestIsKeptAMinute(t *testing.T) {
	c := newClocked(t)
	first := comment("u", "room", "r1", "hello")
	c.expect(first, outcomeOK, 0)
	c.advance(59_999 * time.Millisecond)
	if v := c.decide(comment("u", "room", "r1", "hello")); v.outcome != outcomeSame || string(v.payload) != string(first.payload) {
		t.Fatalf("%s %q, want the first comment", v.outcome, v.payload)
	}
	c.expect(comment("u", "room", "r1", "bye"), outcomeConflict, 0)
	c.expect(comment("u", "another", "r1", "hello"), outcomeConflict, 0)
	c.expect(comment("v", "room", "r1", "bye"), outcomeOK, 0)
	c.advance(time.Millisecond)
	c.expect(comment("u", "room", "r1", "bye"), outcomeOK, 0)
}

func TestExemptFromLimits(t *testing.T) {
	c := newClocked(t)
	for range 50 {
		a := comment("host", "room", "", "welcome")
		a.exempt, a.slow = true, time.Minute
		c.expect(a, outcomeOK, 0)
	}
}

func TestLookUpChangesNothing(t *testing.T) {
	c := newClocked(t)
	a := comment("u", "room", "r1", "hello")
	a.lookUp = true
	c.expect(a, outcomeUnknown, 0)
	if keys := c.mini.Keys(); len(keys) != 0 {
		t.Fatalf("left %q", keys)
	}
}

// Every key expires, so that users who left cost nothing.
func TestKeysExpire(t *testing.T) {
	c := newClocked(t)
	a := comment("u", "room", "r1", "hello")
	a.slow = time.Minute
	c.expect(a, outcomeOK, 0)
	if n := len(c.mini.Keys()); n != 4 {
		t.Fatalf("%d keys, want 4", n)
	}
	c.advance(time.Minute)
	if keys := c.mini.Keys(); len(keys) != 0 {
		t.Fatalf("left %q", keys)
	}
}

// The rules without Redis are those of the script.
func TestTallyDecidesAsTheScript(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClocked(t)
		c.limit.rate = 3
		local := newTally(maxTallied)
		for range rapid.IntRange(1, 40).Draw(rt, "comments") {
			a := comment(
				rapid.SampledFrom([]string{"u", "v"}).Draw(rt, "user"),
				rapid.SampledFrom([]string{"room", "another"}).Draw(rt, "room"),
				rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(rt, "request"),
				rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "text"))
			a.slow = rapid.SampledFrom([]time.Duration{0, 0, 5 * time.Second}).Draw(rt, "slow")
			a.exempt = rapid.IntRange(0, 9).Draw(rt, "exempt") == 0
			a.lookUp = rapid.IntRange(0, 9).Draw(rt, "look up") == 0
			want, got := c.decide(a), local.decide(a, c.limit, c.now)
			if got.outcome != want.outcome || got.wait != want.wait || string(got.payload) != string(want.payload) {
				rt.Fatalf("locally %s after %v, by the script %s after %v", got.outcome, got.wait, want.outcome, want.wait)
			}
			c.advance(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 999, 4_999, 10_000, 29_999}).Draw(rt, "ms")) * time.Millisecond)
		}
	})
}

func TestTallyIsBounded(t *testing.T) {
	c := newClocked(t)
	local := newTally(100)
	for i := range 1000 {
		now := c.now.Add(time.Duration(i) * time.Millisecond)
		local.decide(comment(fmt.Sprint("u", i), "room", "r", "hello"), c.limit, now)
		local.decide(comment("regular", "room", "r", fmt.Sprint(i)), c.limit, now)
	}
	if n := len(local.users); n != 100 {
		t.Errorf("%d users, want 100", n)
	}
}
