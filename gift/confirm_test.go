package gift

import (
	"errors"
	"strings"
	"testing"

	"livecart/proto"
)

func TestConfirmation(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 100_000)
	w.runLedger(w.newLedger())
	never := w.newLedger(func(c *Config) { c.ConfirmBeans = -1 })
	g := w.gifts()
	send := func(key, gift string, count int32, confirmed int64) error {
		_, _, err := g.Send(t.Context(), live, user("ann"), key, &proto.GiftSend{GiftId: gift, Count: count, ConfirmedBeans: confirmed})
		return err
	}
	for _, tt := range []struct {
		name      string
		gift      string
		count     int32
		confirmed int64
		want      error
	}{
		{"below the threshold", "cake", 303, 0, nil}, // 9,999
		{"at the threshold", "rocket", 10, 0, ErrConfirmation},
		{"agreed", "rocket", 10, 10_000, nil},
		{"agreed to less", "rocket", 10, 9_999, ErrConfirmation},
		{"agreed to more", "rocket", 10, 10_001, ErrConfirmation},
		{"small, agreed to another price", "cake", 1, 32, ErrConfirmation},
		{"small, agreed", "cake", 1, 33, nil},
		{"negative", "cake", 1, -33, invalid("")},
	} {
		if err := send(tt.name, tt.gift, tt.count, tt.confirmed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// The ledger's answer is recorded with the beans it was about, whatever they cost by now.
	w.exec(`UPDATE gift SET beans = 1 WHERE id = 'rocket'`)
	if err := send("at the threshold", "rocket", 10, 0); !errors.Is(err, ErrConfirmation) || !strings.Contains(err.Error(), "10000 beans") {
		t.Errorf("asked again: %v", err)
	}
	if err := send("at the threshold", "rocket", 10, 10); !errors.Is(err, ErrConflict) {
		t.Errorf("agreed under the same request_id: %v", err)
	}
	if n := w.balance("ann"); n != 100_000-9_999-10_000-33 {
		t.Errorf("balance %d", n)
	}
	if got, _ := never.settle(t.Context(), []*proto.TipRequest{request(t, "ann", "never", live, "cake", 304, "")}); got[0].outcome != booked {
		t.Errorf("where nobody must agree: %v", got[0].outcome)
	}
}

// The host keeps what the policy of the room's shop in force at the decision leaves, unless the host
// has a share of their own.
func TestShareByPolicy(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	w.exec(`INSERT INTO shop (id, name, currency) VALUES ('shop', 'Shop', 'CNY')`)
	w.exec(`UPDATE room SET shop_id = 'shop' WHERE id IN ('room_live', 'room_other')`)
	l := w.newLedger()
	share := func(key, room string) int64 {
		t.Helper()
		decided, _ := l.settle(t.Context(), []*proto.TipRequest{request(t, "ann", key, room, "rose", 100, "")})
		if decided[0].outcome != booked {
			t.Fatalf("%s: %v", key, decided[0].outcome)
		}
		return decided[0].tip.HostBeans
	}
	if n := share("none", live); n != 50 {
		t.Errorf("without a policy the host has %d of 100, want 50", n)
	}
	w.exec(`INSERT INTO fee_policy (shop_id, since, sale_ppm, tip_ppm, set_by, at) VALUES
		('shop', now() - interval '2 hour', 0, 100000, 'op', now() - interval '3 hour'),
		('shop', now() - interval '1 hour', 0, 300000, 'op', now() - interval '3 hour'),
		('shop', now() + interval '1 hour', 0, 900000, 'op', now() - interval '3 hour')`)
	if n := share("policy", live); n != 70 {
		t.Errorf("under a fee of 30 %% the host has %d of 100, want 70", n)
	}
	if err := w.newGifts().PutHostShare(t.Context(), "otto", 550_000); err != nil {
		t.Fatal(err)
	}
	if n := share("own", other); n != 55 {
		t.Errorf("a host with a share of 55 %% has %d of 100", n)
	}
}
