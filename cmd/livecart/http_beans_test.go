package main

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"livecart/gift"
	"livecart/proto"
)

// tips runs what books tips until the test ends.
func (f *front) tips() {
	f.Helper()
	ledger, err := gift.NewLedger(f.gifts)
	f.must(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup // both end by ctx
	for _, run := range []func(context.Context) error{f.parts.gifts.Run, ledger.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				f.Errorf("a part of gifts ended: %v", err)
			}
		})
	}
	f.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// The way of some beans: bought, sent, settled, taken back from the host's next settlement, and given
// back for money.
func TestBeansOverHTTP(t *testing.T) {
	f := newFront(t)
	f.tips()
	operator, host, viewer := f.operator(), f.host(), f.viewer()
	f.do("PUT", "/v1/gifts/rose", operator, `{"names":{"en":"Rose"},"beans":"10","tier":1}`).want(http.StatusOK, "")
	f.do("PUT", "/v1/shops/shop/fees", operator, `{"sale_ppm":"20000","tip_ppm":300000}`).want(http.StatusOK, "")
	var fees struct {
		Policies []map[string]any
		Force    map[string]any `json:"in_force"`
	}
	f.do("GET", "/v1/shops/shop/fees", host, "").want(http.StatusOK, "").into(&fees)
	if len(fees.Policies) != 1 || fees.Force["tip_ppm"] != 300000.0 || fees.Force["sale_ppm"] != 20000.0 || fees.Force["since_ms"] != fees.Policies[0]["since_ms"] {
		t.Errorf("the fees are %+v", fees)
	}
	var top struct{ URL string }
	f.do("POST", "/v1/topups", viewer, `{"beans":70}`, key("t1")).want(http.StatusCreated, "").into(&top)
	f.pay(top.URL)
	send := func(requestID string) string {
		sent, _, err := f.parts.gifts.Send(t.Context(), "room", &proto.User{Id: "vi"}, requestID, &proto.GiftSend{GiftId: "rose", Count: 2})
		f.must(err)
		return sent.TipIds[0]
	}
	tip := send("g1")
	earnings := func(want string) {
		t.Helper()
		if got := string(f.do("GET", "/v1/hosts/hana/earnings", host, "").want(http.StatusOK, "").body); got != want+"\n" && got != want {
			t.Errorf("the host's earnings are %s, want %s", got, want)
		}
	}
	earnings(`{"host":"hana","earned":14,"settled":0,"open":14,"debt":0}`)
	var paid, again map[string]any
	f.do("POST", "/v1/settlements", operator, `{"host_id":"hana"}`, key("s1")).want(http.StatusCreated, "").into(&paid)
	if paid["beans"] != 14.0 || paid["amount"] != 200.0 || paid["rest"] != 0.0 || paid["tips"] != 1.0 || paid["n"] != 1.0 {
		t.Errorf("the settlement is %v", paid)
	}
	f.do("POST", "/v1/settlements", operator, `{"host_id":"hana"}`, key("s1")).want(http.StatusCreated, "").into(&again)
	if again["id"] != paid["id"] {
		t.Errorf("the same key got %v", again)
	}
	f.do("POST", "/v1/settlements", operator, `{"host_id":"hana"}`, key("s2")).want(http.StatusConflict, proto.ReasonNothingToSettle)

	var reversed map[string]any
	f.do("POST", "/v1/tips/"+tip+"/reversal", operator, `{"reason":"a child's"}`, key("r1")).want(http.StatusCreated, "").into(&reversed)
	if reversed["tip"] != tip || reversed["sender"] != "vi" || reversed["beans"] != 20.0 || reversed["host_beans"] != 14.0 || reversed["balance"] != 70.0 {
		t.Errorf("the reversal is %v", reversed)
	}
	earnings(`{"host":"hana","earned":0,"settled":14,"open":0,"debt":14}`)
	var list struct {
		Settlements []map[string]any
		NextCursor  string `json:"next_cursor"`
	}
	f.do("GET", "/v1/settlements?limit=1", host, "").want(http.StatusOK, "").into(&list)
	if len(list.Settlements) != 1 || list.Settlements[0]["id"] != paid["id"] || list.NextCursor != "" {
		t.Errorf("the settlements are %v", list)
	}

	send("g2")
	lot := f.lots(viewer, "/v1/lots")[0]
	if lot["left"] != 50.0 || lot["beans"] != 70.0 || lot["amount"] != 1000.0 {
		t.Errorf("the lot is %v", lot)
	}
	path := "/v1/lots/" + lot["id"].(string) + "/refund"
	f.do("POST", path, operator, `{"beans":51}`, key("l1")).want(http.StatusConflict, proto.ReasonRefundExceedsPaid)
	var refund map[string]any
	f.do("POST", path, operator, `{"beans":"7"}`, key("l1")).want(http.StatusCreated, "").into(&refund)
	if refund["amount"] != 100.0 || refund["beans"] != 7.0 || refund["balance"] != 43.0 || refund["user"] != "vi" {
		t.Errorf("the refund is %v", refund)
	}
	f.do("POST", path, operator, "", key("l2")).want(http.StatusCreated, "").into(&refund)
	if refund["amount"] != 614.0 || refund["beans"] != 43.0 { // ⌊1000 × 50 ÷ 70⌋ - 100
		t.Errorf("the refund of the rest is %v", refund)
	}
	if lot := f.lots(operator, "/v1/lots?user=vi")[0]; lot["left"] != 0.0 || lot["refunded"] != 50.0 || lot["refunded_amount"] != 714.0 {
		t.Errorf("afterwards the lot is %v", lot)
	}
}

func (f *front) lots(token, path string) []map[string]any {
	f.Helper()
	var page struct{ Lots []map[string]any }
	f.do("GET", path, token, "").want(http.StatusOK, "").into(&page)
	if len(page.Lots) != 1 {
		f.Fatalf("the lots are %v", page.Lots)
	}
	return page.Lots
}
