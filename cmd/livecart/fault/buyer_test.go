package fault

import (
	"context"
	"crypto/sha256"
	"time"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
)

// seat is one connection of one buyer to a gateway, over the gateway's front link. Each command that
// it sends is written into the world's history, with what came back.
type seat struct {
	w      *world
	user   string
	viewer *loadtest.Viewer
}

// replyPatience is longer than a gateway waits for an outcome.
const replyPatience = 15 * time.Second

func (w *world) token(user, role string) string {
	w.t.Helper()
	claims := session.Claims{Subject: user, Name: user, Role: role, Rooms: session.RoomList{session.AllRooms}, Shop: shopID}
	token, err := session.MintToken(w.key, claims.Until(time.Now().Add(24*time.Hour)))
	if err != nil {
		w.t.Error(err)
	}
	return token
}

// sit connects a buyer to a gateway; the case ends the connection.
func (w *world) sit(user string, g *process) *seat {
	w.t.Helper()
	s, err := w.trySit(w.t.Context(), user, g)
	w.must(err)
	w.t.Cleanup(s.viewer.Cut)
	return s
}

func (w *world) trySit(ctx context.Context, user string, g *process) (*seat, error) {
	return w.sitAt(ctx, user, g.front.near())
}

// sitAt connects a buyer to a gateway's address.
func (w *world) sitAt(ctx context.Context, user, address string) (*seat, error) {
	viewer, err := loadtest.Join(ctx, loadtest.ViewerConfig{
		URL: "ws://" + address + "/v1/rooms/" + roomID + "/ws", Token: w.token(user, "viewer"), Format: proto.Binary,
		ReplyTimeout: replyPatience,
	})
	return &seat{w: w, user: user, viewer: viewer}, err
}

// buy sends one flash_buy and waits for its answer.
func (s *seat) buy(sale *proto.FlashSale, key string, pieces int32) loadtest.Record {
	return s.do(key, &proto.Command{Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: sale.Id, Quantity: pieces}}})
}

// buying is buy in the background; the channel gives what buy returns.
func (s *seat) buying(sale *proto.FlashSale, key string, pieces int32) <-chan loadtest.Record {
	answer := make(chan loadtest.Record, 1)
	go func() { answer <- s.buy(sale, key, pieces) }() // ends with the answer, at the latest with the connection
	return answer
}

// outcome waits for the answer to a flash_buy; who was told pending asks again, as on a busy machine
// anybody may be.
func (w *world) outcome(answer <-chan loadtest.Record, sale *proto.FlashSale) string {
	r := <-answer
	if r.Outcome == string(proto.ReasonPending) {
		r = w.insist(r.Client, sale, r.Key, int32(r.Quantity))
	}
	return r.Outcome
}

// do sends a command of a buyer under a key, writes it down with its answer, and returns what it wrote.
func (s *seat) do(key string, cmd *proto.Command) loadtest.Record {
	cmd.RequestId = key
	sent := time.Now()
	reply, err := s.viewer.Do(context.Background(), cmd)
	if err != nil {
		reply = nil
	}
	r, kept := loadtest.NewRecord(s.user, roomID, cmd, sent, reply, time.Now())
	if kept {
		s.w.note(r)
		return r
	}
	// Not a command of the history: what came of it, for the case alone.
	r = loadtest.Record{Client: s.user, Key: key, Kind: cmd.Kind(), Outcome: reply.GetError().GetReason()}
	if reply.GetOk() != nil {
		r.Outcome = loadtest.OutcomeOK
	}
	return r
}

// note adds a line to the history.
func (w *world) note(r loadtest.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, r)
}

// final reports whether an outcome is one that stays: any other may be asked again under its key.
func final(outcome string) bool {
	switch proto.Reason(outcome) {
	case "", proto.ReasonPending, proto.ReasonTryAgain, proto.ReasonBusy, proto.ReasonRateLimited, proto.ReasonNotStarted, proto.ReasonInternal:
		return false
	}
	return true
}

// insist sends a flash_buy under one key, over new connections to the gateways in turn, until its
// outcome is final, as a buyer with a patient app does.
func (w *world) insist(user string, sale *proto.FlashSale, key string, pieces int32) loadtest.Record {
	return w.insistAt(w.gateways, user, key, &proto.Command{Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: sale.Id, Quantity: pieces}}})
}

// insistAtGateway is insist at one gateway alone.
func (w *world) insistAtGateway(i int, user string, sale *proto.FlashSale, key string, pieces int32) loadtest.Record {
	return w.insistAt(w.gateways[i:i+1], user, key, &proto.Command{Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: sale.Id, Quantity: pieces}}})
}

// insistAt is insist for any command and some of the gateways.
func (w *world) insistAt(gateways []*process, user, key string, cmd *proto.Command) (r loadtest.Record) {
	within := w.give(3 * patience)
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	var s *seat
	for try := 0; ctx.Err() == nil; try++ {
		if s == nil {
			next, err := w.trySit(ctx, user, gateways[try%len(gateways)])
			if err != nil {
				pause(ctx, 50*time.Millisecond)
				continue
			}
			s = next
		}
		if r = s.do(key, proto.Clone(cmd)); final(r.Outcome) {
			s.viewer.Cut()
			return r
		}
		if r.Outcome == "" { // the connection broke, or nothing came over it
			s.viewer.Cut()
			s = nil
		}
		pause(ctx, 100*time.Millisecond)
	}
	if s != nil {
		s.viewer.Cut()
	}
	w.t.Errorf("%s got no final outcome of %s %s within %v", user, cmd.Kind(), key, within)
	return r
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// attempt is a flash_buy as gateways hand it to the ledger.
func attempt(user string, sale *proto.FlashSale, key string, pieces int32) *proto.FlashAttempt {
	content, err := proto.Encode(proto.Binary, &proto.FlashBuy{SaleId: sale.Id, Quantity: pieces})
	if err != nil {
		panic(err) // a message of our own always encodes
	}
	hash := sha256.Sum256(content)
	return &proto.FlashAttempt{
		SaleId: sale.Id, RoomId: roomID, Buyer: &proto.User{Id: user, Name: user}, Key: key, Hash: hash[:], Quantity: pieces,
	}
}

// outcomes are what a decision of the ledger is to the buyer.
var outcomes = map[proto.FlashOutcome]string{
	proto.FlashOutcome_FLASH_OUTCOME_ORDERED:         "ok",
	proto.FlashOutcome_FLASH_OUTCOME_SOLD_OUT:        string(proto.ReasonSoldOut),
	proto.FlashOutcome_FLASH_OUTCOME_LIMIT_PER_BUYER: string(proto.ReasonLimitPerBuyer),
	proto.FlashOutcome_FLASH_OUTCOME_SALE_ENDED:      string(proto.ReasonSaleEnded),
	proto.FlashOutcome_FLASH_OUTCOME_VOID:            string(proto.ReasonAttemptExpired),
	proto.FlashOutcome_FLASH_OUTCOME_CONFLICT:        string(proto.ReasonIdempotencyConflict),
	proto.FlashOutcome_FLASH_OUTCOME_REJECTED:        string(proto.ReasonInvalidArgument),
	proto.FlashOutcome_FLASH_OUTCOME_TRY_AGAIN:       string(proto.ReasonTryAgain),
	proto.FlashOutcome_FLASH_OUTCOME_BUSY:            string(proto.ReasonBusy),
	proto.FlashOutcome_FLASH_OUTCOME_NOT_STARTED:     string(proto.ReasonNotStarted),
}

// ask hands attempts to a ledger in one envelope, as a gateway whose Redis let them all through, and
// writes the decisions down. Outcomes are in the order of the attempts.
func (w *world) ask(attempts ...*proto.FlashAttempt) []loadtest.Record {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	sent := time.Now().UnixMilli()
	reply := new(proto.FlashDecisions)
	err := w.bus.Request(ctx, "flash", &proto.FlashBatch{Attempts: attempts}, reply)
	if err == nil && len(reply.Decisions) != len(attempts) {
		w.t.Errorf("%d decisions for %d attempts", len(reply.Decisions), len(attempts))
	}
	records := make([]loadtest.Record, len(attempts))
	for i, a := range attempts {
		records[i] = loadtest.Record{
			Client: a.Buyer.Id, Key: a.Key, Kind: "flash_buy", RoomID: a.RoomId, SaleID: a.SaleId, Quantity: int64(a.Quantity), SentMs: sent,
		}
		if err == nil && i < len(reply.Decisions) {
			d := reply.Decisions[i]
			records[i].AnsweredMs = time.Now().UnixMilli()
			records[i].Outcome, records[i].OrderID = outcomes[d.Outcome], d.Order.GetId()
		}
		w.note(records[i])
	}
	return records
}
