package gift

import (
	"strings"
	"testing"

	"livecart/proto"
)

func TestCatalogue(t *testing.T) {
	w := newWorld(t)
	g, distant := w.newGifts(), w.newGifts()
	gifts, etag, err := g.Catalogue(t.Context())
	if err != nil || len(gifts) != 3 {
		t.Fatalf("%v, %v", gifts, err)
	}
	if gifts[0].Id != "rose" || gifts[1].Id != "cake" || gifts[2].Id != "rocket" || gifts[2].Names["en"] != "Rocket" {
		t.Errorf("order %v", gifts)
	}
	_, distantTag, err := distant.Catalogue(t.Context())
	if err != nil || distantTag != etag || len(etag) < 4 || etag[0] != '"' {
		t.Errorf("tags %s and %s of equal catalogues, %v", etag, distantTag, err)
	}
	crown := &proto.Gift{Id: "crown", Names: map[string]string{"en": "Crown", "zh-Hans": "皇冠"}, Beans: 520, Tier: 3, IconUrl: "/static/crown.svg"}
	for _, beans := range []int64{520, 500} {
		crown.Beans = beans
		if err := g.PutGift(t.Context(), crown); err != nil {
			t.Fatal(err)
		}
		gifts, newTag, err := g.Catalogue(t.Context())
		if err != nil || newTag == etag || len(gifts) != 4 || !proto.Equal(gifts[2], crown) {
			t.Errorf("%v, %s after %s, %v", gifts, newTag, etag, err)
		}
		etag = newTag
	}
	if gifts, tag, _ := distant.Catalogue(t.Context()); len(gifts) != 3 || tag != distantTag {
		t.Errorf("the other gateway's copy changed at once: %v", gifts)
	}
}

func TestGiftForm(t *testing.T) {
	tests := []struct {
		name   string
		change func(*proto.Gift)
		ok     bool
	}{
		{"plain", func(*proto.Gift) {}, true},
		{"free", func(g *proto.Gift) { g.Beans = 0 }, false},
		{"dearest", func(g *proto.Gift) { g.Beans = MaxPrice }, true},
		{"too dear", func(g *proto.Gift) { g.Beans = MaxPrice + 1 }, false},
		{"tier 0", func(g *proto.Gift) { g.Tier = 0 }, false},
		{"tier 3", func(g *proto.Gift) { g.Tier = 3 }, true},
		{"tier 4", func(g *proto.Gift) { g.Tier = 4 }, false},
		{"no id", func(g *proto.Gift) { g.Id = "" }, false},
		{"no name", func(g *proto.Gift) { g.Names = nil }, false},
		{"empty name", func(g *proto.Gift) { g.Names["en"] = "" }, false},
		{"long name", func(g *proto.Gift) { g.Names["en"] = strings.Repeat("名", 65) }, false},
		{"name of 64", func(g *proto.Gift) { g.Names["en"] = strings.Repeat("名", 64) }, true},
		{"zero byte", func(g *proto.Gift) { g.Names["en"] = "\x00" }, false},
		{"long icon", func(g *proto.Gift) { g.IconUrl = strings.Repeat("x", 2049) }, false},
	}
	for _, tt := range tests {
		gift := &proto.Gift{Id: "g", Names: map[string]string{"en": "G"}, Beans: 1, Tier: 1}
		tt.change(gift)
		if err := checkGift(gift); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestHostShare(t *testing.T) {
	w := newWorld(t)
	w.grant("ann", 1000)
	g, l := w.newGifts(), w.newLedger()
	for share, ok := range map[int64]bool{-1: false, 0: true, 333_333: true, MaxShare: true, MaxShare + 1: false} {
		if err := g.PutHostShare(t.Context(), "otto", share); (err == nil) != ok {
			t.Errorf("share %d: %v", share, err)
		}
	}
	if err := g.PutHostShare(t.Context(), "otto", 333_333); err != nil {
		t.Fatal(err)
	}
	decided, _ := l.settle(t.Context(), []*proto.TipRequest{request(t, "ann", "1", other, "cake", 1, ""), request(t, "ann", "2", live, "cake", 1, "")})
	if a := decided[0].tip; a.HostBeans != 10 || a.FeeBeans != 23 {
		t.Errorf("a third of 33: %d and %d", a.HostBeans, a.FeeBeans)
	}
	if a := decided[1].tip; a.HostBeans != 16 || a.FeeBeans != 17 {
		t.Errorf("half of 33: %d and %d", a.HostBeans, a.FeeBeans)
	}
}
