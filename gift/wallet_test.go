package gift

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

func TestGrantOnce(t *testing.T) {
	w := newWorld(t)
	g := w.newGifts()
	_, private := w.listen(live)
	var grants sync.WaitGroup
	for range 8 {
		grants.Go(func() {
			if err := g.Grant(t.Context(), "ann", "seed", 50); err != nil {
				t.Error(err)
			}
		})
	}
	grants.Wait()
	if got, err := g.Wallet(t.Context(), "ann"); err != nil || got.Balance != 50 || got.Version != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if ev := receive(t, private); ev.UserId != "ann" || ev.Event.GetWalletBalance().GetVersion() != 1 {
		t.Errorf("private event %v", ev)
	}
	if err := g.Grant(t.Context(), "ann", "seed", 51); !errors.Is(err, ErrTopUpConflict) {
		t.Errorf("other beans under the key: %v", err)
	}
	for name, err := range map[string]error{
		"no beans":      g.Grant(t.Context(), "ann", "k0", 0),
		"negative":      g.Grant(t.Context(), "ann", "k1", -5),
		"too many":      g.Grant(t.Context(), "ann", "k2", MaxGrant+1),
		"nobody":        g.Grant(t.Context(), "", "k3", 5),
		"no key":        g.Grant(t.Context(), "ann", "", 5),
		"unstorable id": g.Grant(t.Context(), "\x00", "k4", 5),
	} {
		if err == nil {
			t.Errorf("%s: granted", name)
		}
	}
	if err := g.Grant(t.Context(), "ann", "most", MaxGrant); err != nil {
		t.Error(err)
	}
}

func TestWalletAndSelf(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 50)
	g := w.newGifts()
	for _, id := range []string{"nobody", "zero\x00"} {
		if got, err := g.Wallet(t.Context(), id); err != nil || got.Balance != 0 || got.Version != 0 {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
	selves := map[string]*proto.SessionSelf{"ann": {}, "nobody": {}, "zero\x00": {}}
	err := store.InSnapshot(t.Context(), w.pool, func(tx pgx.Tx) error { return g.Self(t.Context(), tx, live, selves) })
	if err != nil {
		t.Fatal(err)
	}
	if s := selves["ann"]; s.Balance != 50 || s.BalanceVersion != 1 {
		t.Errorf("ann: %v", s)
	}
	if s := selves["nobody"]; s.Balance != 0 || s.BalanceVersion != 0 {
		t.Errorf("nobody: %v", s)
	}
}

func TestRanking(t *testing.T) {
	w := newWorld(t)
	l := w.newLedger()
	var asked []*proto.TipRequest
	for i := range 105 {
		id := fmt.Sprintf("user%03d", i)
		w.grant(id, 1000)
		asked = append(asked, request(t, id, "1", live, "rose", int32(i+1), ""), request(t, id, "2", live, "rose", int32(i+1), ""))
	}
	asked = append(asked, request(t, "user000", "3", live, "rose", 208, ""), request(t, "user001", "4", other, "rose", 900, "")) // level with user104; another room
	l.settle(t.Context(), asked)
	g := w.newGifts(func(c *Config) { c.RankingAge = time.Hour })
	top, err := g.Ranking(t.Context(), live, MaxRanking)
	if err != nil || len(top) != MaxRanking {
		t.Fatalf("%d entries, %v", len(top), err)
	}
	for i, want := range []struct {
		id    string
		beans int64
	}{{"user000", 210}, {"user104", 210}, {"user103", 208}} {
		if e := top[i]; e.Rank != int32(i+1) || e.User.Id != want.id || e.Beans != want.beans || e.User.Name != "Name of "+want.id || e.User.Role != proto.Role_ROLE_VIEWER {
			t.Errorf("place %d: %v, want %v", i+1, e, want)
		}
	}
	l.settle(t.Context(), []*proto.TipRequest{request(t, "user050", "5", live, "rose", 500, "")})
	if cached, err := g.Ranking(t.Context(), live, 1); err != nil || len(cached) != 1 || cached[0].User.Id != "user000" {
		t.Errorf("within its age: %v, %v", cached, err)
	}
	impatient := w.newGifts(func(c *Config) { c.RankingAge = time.Nanosecond })
	for _, beans := range []int64{602, 603} {
		if now, err := impatient.Ranking(t.Context(), live, 3); err != nil || now[0].User.Id != "user050" || now[0].Beans != beans {
			t.Errorf("read anew: %v, %v, want %d beans", now, err, beans)
		}
		l.settle(t.Context(), []*proto.TipRequest{request(t, "user050", fmt.Sprint(beans), live, "rose", 1, "")})
	}
	if none, err := g.Ranking(t.Context(), "quiet", 3); err != nil || len(none) != 0 {
		t.Errorf("a room without tips: %v, %v", none, err)
	}
	for _, limit := range []int{0, -1, MaxRanking + 1} {
		if _, err := g.Ranking(t.Context(), live, limit); err == nil {
			t.Errorf("limit %d passed", limit)
		}
	}
}
