package fault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
)

// giftCases are faults of tips and of what hosts are paid for them.
var giftCases = []faultCase{
	{
		name:     "wallet_overdraft_same_batch",
		injected: "more tips than one wallet can pay: ten in one envelope, then two envelopes in transactions of two ledgers that wait together",
		holds:    "as many are booked as there are beans for, the others are insufficient_beans, asked again too",
		setup:    setup{ledgers: 2},
		run:      walletOverdraftSameBatch,
	},
	{
		name:     "wallet_cross_room_deadlock",
		injected: "envelopes of two rooms with the same senders in opposite orders, and copies of one envelope turned round, at two ledgers that wait together",
		holds:    "Postgres never has to break a deadlock; each tip is booked once",
		setup:    setup{ledgers: 2},
		run:      walletCrossRoomDeadlock,
	},
	{
		name:     "tip_killed_before_broadcast",
		injected: "kill -9 of a ledger inside the COMMIT of a tip, before the room is told",
		holds:    "another ledger answers the sender with the same tip and tells the room",
		setup:    setup{ledgers: 2},
		run:      tipKilledBeforeBroadcast,
	},
	{
		name:     "tip_reversal_after_settlement",
		injected: "kill -9 of a gateway inside the COMMIT of a settlement; then tips that it paid for are reversed, each by two gateways at once",
		holds:    "the host is settled once and in debt for what was reversed; later tips pay the debt first",
		setup:    setup{gateways: 2},
		run:      tipReversalAfterSettlement,
	},
}

// putGift adds a gift of so many beans to the catalogue.
func (w *world) putGift(id string, beans int64) {
	w.t.Helper()
	w.must(w.gifts.PutGift(w.t.Context(), &proto.Gift{Id: id, Names: map[string]string{"en": id}, Beans: beans, Tier: 1}))
}

// grant gives a user beans.
func (w *world) grant(user string, beans int64) {
	w.t.Helper()
	w.must(w.gifts.Grant(w.t.Context(), user, "g-"+user, beans))
}

// tipRequest is a gift_send of one gift as gateways hand it to the ledger.
func tipRequest(room, user, key, giftID string) *proto.TipRequest {
	hash := sha256.Sum256([]byte(room + giftID))
	return &proto.TipRequest{RoomId: room, Sender: &proto.User{Id: user, Name: user}, GiftId: giftID, Count: 1, Key: key, Hash: hash[:]}
}

// tipOutcomes are what a decision of the ledger is to the sender.
var tipOutcomes = map[proto.TipOutcome]string{
	proto.TipOutcome_TIP_OUTCOME_BOOKED:             loadtest.OutcomeOK,
	proto.TipOutcome_TIP_OUTCOME_INSUFFICIENT_BEANS: string(proto.ReasonInsufficientBeans),
	proto.TipOutcome_TIP_OUTCOME_TRY_AGAIN:          string(proto.ReasonTryAgain),
	proto.TipOutcome_TIP_OUTCOME_BUSY:               string(proto.ReasonBusy),
}

// tip hands tips to a ledger in one envelope, as a gateway does, writes the decisions down and returns how
// many there are of each outcome.
func (w *world) tip(tips ...*proto.TipRequest) map[string]int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sent := time.Now().UnixMilli()
	reply := new(proto.TipDecisions)
	err := w.bus.Request(ctx, "tip", &proto.TipBatch{Tips: tips}, reply)
	if err != nil || len(reply.Decisions) != len(tips) {
		w.t.Errorf("%d decisions for %d tips: %v", len(reply.Decisions), len(tips), err)
		return nil
	}
	counts := map[string]int{}
	for i, t := range tips {
		d := reply.Decisions[i]
		r := loadtest.Record{
			Client: t.Sender.Id, Key: t.Key, Kind: loadtest.KindGiftSend, RoomID: t.RoomId, GiftID: t.GiftId, Quantity: 1,
			SentMs: sent, AnsweredMs: max(sent, time.Now().UnixMilli()), Outcome: tipOutcomes[d.Outcome],
		}
		if ids := d.Sent.GetTipIds(); len(ids) > 0 {
			r.TipID = ids[0]
		}
		w.note(r)
		counts[r.Outcome]++
	}
	return counts
}

// gather has envelopes sent, at most 64, until transactions of both ledgers wait for a lock, and returns
// how many it sent and a function that waits for the answers and adds them up.
func (w *world) gather(envelope func(n int) []*proto.TipRequest) (sent int, answers func() map[string]int) {
	w.t.Helper()
	var asking sync.WaitGroup
	var mu sync.Mutex
	sum := map[string]int{}
	w.until("transactions of both ledgers wait", patience, func() bool {
		if w.waiting("ledger-1") > 0 && w.waiting("ledger-2") > 0 {
			return true
		}
		if sent < 64 {
			tips := envelope(sent)
			sent++
			asking.Go(func() {
				counts := w.tip(tips...)
				mu.Lock()
				defer mu.Unlock()
				for outcome, n := range counts {
					sum[outcome] += n
				}
			})
		}
		return false
	})
	return sent, func() map[string]int {
		asking.Wait()
		return sum
	}
}

func walletOverdraftSameBatch(w *world) {
	w.putGift("rose", 10)
	w.grant("ann", 35)
	var ten []*proto.TipRequest
	for i := range 10 {
		ten = append(ten, tipRequest(roomID, "ann", fmt.Sprintf("a%d", i), "rose"))
	}
	for range 2 {
		got := w.tip(ten...)
		w.equal("booked of one envelope", got[loadtest.OutcomeOK], 3)
		w.equal("refused of one envelope", got[string(proto.ReasonInsufficientBeans)], 7)
	}
	w.equal("ann's balance", scan[int64](w, `SELECT balance FROM wallet WHERE user_id = 'ann'`), int64(5))

	// Whoever has read bob's wallet waits before it writes the tip.
	w.grant("bob", 35)
	release := w.hold(`LOCK TABLE tip IN SHARE MODE`)
	sent, answers := w.gather(func(n int) []*proto.TipRequest {
		return []*proto.TipRequest{tipRequest(roomID, "bob", fmt.Sprintf("b%d", 2*n), "rose"), tipRequest(roomID, "bob", fmt.Sprintf("b%d", 2*n+1), "rose")}
	})
	release()
	got := answers()
	w.equal("booked of bob's", got[loadtest.OutcomeOK], min(3, 2*sent))
	w.equal("refused of bob's", got[string(proto.ReasonInsufficientBeans)], 2*sent-min(3, 2*sent))
}

func walletCrossRoomDeadlock(w *world) {
	ctx := w.t.Context()
	rooms, err := session.NewRooms(session.RoomsConfig{Pool: w.pool, Bus: w.bus})
	w.must(err)
	_, err = rooms.Put(ctx, &proto.Room{Id: "next", Title: "Next", ShopId: shopID, Host: &proto.User{Id: "host2", Name: "Host", Role: proto.Role_ROLE_HOST}})
	w.must(err)
	_, err = rooms.Start(ctx, "next", &proto.User{Id: "host2", Role: proto.Role_ROLE_HOST})
	w.must(err)
	w.putGift("rose", 10)
	var users []string
	for i := range 16 {
		users = append(users, fmt.Sprintf("u%02d", i))
		w.grant(users[i], 10_000)
	}
	turned := slices.Clone(users)
	slices.Reverse(turned)
	broken := func() int64 {
		return scan[int64](w, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
	}
	before := broken()

	// All stop at the wallet in the middle, with those before it locked.
	release := w.hold(`SELECT FROM wallet WHERE user_id = $1 FOR UPDATE`, users[8])
	sent, answers := w.gather(func(n int) []*proto.TipRequest {
		room, order := roomID, users
		if n > 0 {
			room, order = "next", turned
		}
		var tips []*proto.TipRequest
		for _, user := range order {
			tips = append(tips, tipRequest(room, user, fmt.Sprintf("k%d", n), "rose"))
		}
		return tips
	})
	release()
	w.equal("booked over both rooms", answers()[loadtest.OutcomeOK], 16*sent)

	// The same keys in opposite orders; all stop at the key in the middle.
	release = w.hold(`INSERT INTO tip_attempt (sender_id, key, hash, outcome) VALUES ($1, 'again', '', 'rejected')`, users[8])
	_, answers = w.gather(func(n int) []*proto.TipRequest {
		order := users
		if n > 0 {
			order = turned
		}
		var tips []*proto.TipRequest
		for _, user := range order {
			tips = append(tips, tipRequest(roomID, user, "again", "rose"))
		}
		return tips
	})
	release()
	for outcome := range answers() {
		w.equal("an answer", outcome, loadtest.OutcomeOK)
	}
	w.equal("tips under the one key", scan[int](w, `SELECT count(*) FROM tip_attempt WHERE key = 'again' AND outcome = 'booked'`), 16)
	for _, l := range w.ledgers { // a server process hands in what it counted at the latest when it ends
		l.stop()
	}
	w.until("no session of a ledger is left", patience, func() bool {
		return scan[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ledger%'`) == 0
	})
	w.equal("deadlocks that Postgres broke", broken()-before, int64(0))
}

func tipKilledBeforeBroadcast(w *world) {
	w.putGift("rose", 10)
	w.grant("ann", 100)
	gateway := w.gateways[0]
	seen := make(chan string, 100)
	watcher, err := loadtest.Join(w.t.Context(), loadtest.ViewerConfig{
		URL: "ws://" + gateway.front.near() + "/v1/rooms/" + roomID + "/ws", Token: w.token("watcher", "viewer"), Format: proto.JSON,
		OnEvent: func(e *proto.Event) {
			for _, id := range e.GetGiftSent().GetTipIds() {
				seen <- id
			}
		},
	})
	w.must(err)
	w.t.Cleanup(watcher.Cut)
	ann := w.sit("ann", gateway)

	release := w.holdCommits("INSERT", "tip", "true")
	answer := make(chan loadtest.Record, 1)
	go func() { // ends with the answer, at the latest with the connection
		answer <- ann.do("k", &proto.Command{Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 1}}})
	}()
	w.caught("commit").kill()
	release()
	w.until("the tip is committed", patience, func() bool { return scan[int](w, `SELECT count(*) FROM tip`) == 1 })
	id := scan[string](w, `SELECT id FROM tip`)
	got := <-answer
	if !final(got.Outcome) {
		got = w.insistAt(w.gateways, "ann", "k", &proto.Command{Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 1}}})
	}
	w.equal("the sender", got.Outcome, loadtest.OutcomeOK)
	w.equal("the sender's tip", got.TipID, id)
	select {
	case told := <-seen:
		w.equal("what the room is told of", told, id)
	case <-time.After(patience / 2):
		w.t.Fatal("the room is not told of the tip")
	}
	w.until("nothing is left to be announced", patience, func() bool { return scan[int](w, `SELECT count(*) FROM tip_unannounced`) == 0 })
	w.equal("ann's balance", scan[int64](w, `SELECT balance FROM wallet WHERE user_id = 'ann'`), int64(90))
}

// operate has an operator ask a gateway over HTTP, under a key, for what answers with JSON.
func (w *world) operate(g *process, method, path, key string, body, out any) (status int) {
	w.t.Helper()
	claims := session.Claims{Subject: "op", Name: "Op", Role: "operator", Rooms: session.RoomList{session.AllRooms}}
	token, err := session.MintToken(w.key, claims.Until(time.Now().Add(24*time.Hour)))
	w.must(err)
	text, err := json.Marshal(body)
	w.must(err)
	request, err := http.NewRequest(method, "http://"+g.front.near()+path, bytes.NewReader(text))
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	reply, err := once.Do(request)
	if err != nil {
		return 0
	}
	defer reply.Body.Close()
	if reply.StatusCode/100 == 2 {
		w.must(json.NewDecoder(reply.Body).Decode(out))
	}
	return reply.StatusCode
}

// settled is what the answer to a settlement says.
type settled struct {
	ID                    string
	N, Earned, Beans      int64
	DebtBefore, DebtAfter int64
}

func tipReversalAfterSettlement(w *world) {
	dying, other := w.gateways[0], w.gateways[1]
	w.putGift("rose", 70)
	w.grant("ann", 1000)
	ann := w.sit("ann", other)
	sent := 0
	tip := func() string {
		sent++
		r := ann.do(fmt.Sprintf("k%d", sent), &proto.Command{Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 1}}})
		w.equal(r.Key, r.Outcome, loadtest.OutcomeOK)
		return r.TipID
	}
	settle := func(g *process, key string) (status int, s settled) {
		var body struct {
			ID               string
			N, Earned, Beans int64
			DebtBefore       int64 `json:"debt_before"`
			DebtAfter        int64 `json:"debt_after"`
		}
		status = w.operate(g, http.MethodPost, "/v1/settlements", key, map[string]string{"host_id": hostID}, &body)
		return status, settled{body.ID, body.N, body.Earned, body.Beans, body.DebtBefore, body.DebtAfter}
	}
	tips := []string{tip(), tip(), tip()} // 35 of each are the host's

	release := w.holdCommits("INSERT", "settlement", "true")
	lost := make(chan int, 1)
	go func() { // ends with the answer, at the latest with once's time
		status, _ := settle(dying, "s1")
		lost <- status
	}()
	w.equal("who is in COMMIT", w.caught("commit").name, dying.name)
	dying.kill()
	release()
	w.equal("answer of the killed gateway", <-lost, 0)
	w.until("the settlement is committed", patience, func() bool { return scan[int](w, `SELECT count(*) FROM settlement`) == 1 })
	_, s := settle(other, "s1")
	w.equal("the settlement, asked for again", s, settled{scan[string](w, `SELECT id FROM settlement`), 1, 105, 105, 0, 0})

	dying.start()
	for _, id := range tips[:2] {
		var reversing sync.WaitGroup
		for _, g := range w.gateways {
			reversing.Go(func() {
				var r struct{ ID string }
				w.equal("status of a reversal", w.operate(g, http.MethodPost, "/v1/tips/"+id+"/reversal", "r-"+id, map[string]string{"reason": "by mistake"}, &r)/100, 2)
			})
		}
		reversing.Wait()
	}
	w.equal("ann's balance", scan[int64](w, `SELECT balance FROM wallet WHERE user_id = 'ann'`), int64(1000-70))
	tip()
	_, s = settle(other, "s2")
	w.equal("the settlement after the reversals", s, settled{s.ID, 2, 35 - 70, 0, 0, 35})
	tip()
	tip()
	_, s = settle(dying, "s3")
	w.equal("the settlement that pays the debt", s, settled{s.ID, 3, 70, 35, 35, 0})
	w.equal("settled in all", scan[int64](w, `SELECT sum(beans)::bigint FROM settlement`), int64(4*35))
}
