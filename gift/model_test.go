package gift

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"livecart/proto"
)

// modelHistories is how many histories TestModelSeeded drives; LIVECART_MODEL_HISTORIES asks for
// another number.
const modelHistories = 6000

// TestModelSeeded drives the ledger's decisions through whole histories: batches of any cut, copies
// in and across batches, keys used again for something else, credits, rooms that pause and end,
// prices and shares that change, and workers that die before or after their commit. After each step
// everything that was decided must be what a serial teller who takes one tip at a time would have
// made of it.
//
// It ends at the first history that differs. LIVECART_MODEL_SEED runs one history alone, and logs its steps.
func TestModelSeeded(t *testing.T) {
	if text := os.Getenv("LIVECART_MODEL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("LIVECART_MODEL_SEED: %v", err)
		}
		if err := newHistory(seed, t.Logf).run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return
	}
	histories := modelHistories
	if text := os.Getenv("LIVECART_MODEL_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("LIVECART_MODEL_HISTORIES is %q, not a number above 0", text)
		}
		histories = n
	}
	const lanes = 4
	for lane := range lanes {
		t.Run(fmt.Sprint("lane=", lane), func(in *testing.T) {
			in.Parallel()
			for seed := lane; seed < histories && !t.Failed(); seed += lanes {
				if err := newHistory(uint64(seed), func(string, ...any) {}).run(); err != nil {
					in.Fatalf("seed %d: %v\nreplay: LIVECART_MODEL_SEED=%d go test -run TestModelSeeded -v ./gift", seed, err, seed)
				}
			}
		})
	}
}

// cashier is the naive model: someone with a notebook who takes one tip at a time, and who goes
// through all entries again for each figure. It shares no code with the ledger.
type cashier struct {
	credits map[string][]int64 // beans by user
	prices  map[string]int64
	stages  map[string]*booth
	notes   map[string]*note // by sender and key
	tips    []*entry
}

type booth struct {
	phase, host string
	share       int64 // of a million
}

// note is what became of a key, and what it asked for.
type note struct {
	asked string
	word  string
	entry *entry
}

// entry is a tip as it was taken; id is the ledger's name for it.
type entry struct {
	id, sender, room, gift, combo string
	count, beans, host, fee       int64
	comboCount, balance, version  int64
}

func (c *cashier) wallet(sender string) (balance, version int64) {
	for _, beans := range c.credits[sender] {
		balance += beans
		version++
	}
	for _, t := range c.tips {
		if t.sender == sender {
			balance -= t.beans
			version++
		}
	}
	return balance, version
}

func describe(req *proto.TipRequest) string {
	return fmt.Sprintf("%d %s in %s, combo %q", req.Count, req.GiftId, req.RoomId, req.ComboId)
}

// take takes one tip and returns what the sender is told.
func (c *cashier) take(req *proto.TipRequest) *note {
	sender, asked := req.Sender.Id, describe(req)
	page := sender + " " + req.Key
	if n := c.notes[page]; n != nil {
		if n.asked != asked {
			return &note{asked: asked, word: "conflict"}
		}
		return n
	}
	n := &note{asked: asked}
	c.notes[page] = n
	at := c.stages[req.RoomId]
	price, sold := c.prices[req.GiftId]
	balance, version := c.wallet(sender)
	if at == nil {
		n.word = "room_not_found"
	} else if at.phase == "ended" || at.phase == "scheduled" {
		n.word = "room_not_live"
	} else if at.host == sender {
		n.word = "forbidden"
	} else if !sold {
		n.word = "unknown_gift"
	} else if balance-price*int64(req.Count) < 0 {
		n.word = "insufficient_beans"
	} else {
		n.word = "booked"
		n.entry = &entry{
			sender: sender, room: req.RoomId, gift: req.GiftId, combo: req.ComboId, count: int64(req.Count),
			beans: price * int64(req.Count), balance: balance - price*int64(req.Count), version: version + 1,
		}
		n.entry.host = part(n.entry.beans, at.share)
		n.entry.fee = n.entry.beans - n.entry.host
		c.tips = append(c.tips, n.entry)
		n.entry.comboCount = n.entry.count
		if req.ComboId != "" {
			n.entry.comboCount = c.combo(sender, req.RoomId, req.GiftId, req.ComboId)
		}
	}
	return n
}

func (c *cashier) combo(sender, room, gift, combo string) (n int64) {
	for _, t := range c.tips {
		if t.sender == sender && t.room == room && t.gift == gift && t.combo == combo {
			n += t.count
		}
	}
	return n
}

// part is beans × share ÷ 1,000,000, rounded down, without any limit of size.
func part(beans, share int64) int64 {
	product := new(big.Int).Mul(big.NewInt(beans), big.NewInt(share))
	return product.Quo(product, big.NewInt(1_000_000)).Int64()
}

// tables are what Postgres would hold: what a transaction reads before it decides, and what it writes
// after that.
type tables struct {
	attempts map[attemptKey]attempt
	wallets  map[string]account
	gifts    map[string]price
	rooms    map[string]stage
	tips     map[string]*tip
	nextTip  int
}

// read reads as book does: only what the requests name.
func (tb *tables) read(asked []*proto.TipRequest, now time.Time) *books {
	b := &books{
		attempts: map[attemptKey]attempt{}, tipIDs: map[attemptKey]string{}, wallets: map[string]account{},
		gifts: map[string]price{}, rooms: map[string]stage{}, combos: map[comboKey]int64{}, now: now,
	}
	for _, req := range asked {
		if recorded, ok := tb.attempts[keyOf(req)]; ok {
			b.attempts[keyOf(req)] = recorded
			continue
		}
		if b.tipIDs[keyOf(req)] == "" {
			tb.nextTip++
			b.tipIDs[keyOf(req)] = fmt.Sprint("tip_", tb.nextTip)
		}
		if w, ok := tb.wallets[senderOf(req)]; ok {
			b.wallets[senderOf(req)] = w
		}
		if g, ok := tb.gifts[req.GiftId]; ok {
			b.gifts[req.GiftId] = g
		}
		if r, ok := tb.rooms[req.RoomId]; ok {
			b.rooms[req.RoomId] = r
		}
		if req.ComboId != "" {
			combo := comboKey{senderOf(req), req.RoomId, req.GiftId, req.ComboId}
			if n := tb.combo(combo); n > 0 {
				b.combos[combo] = n
			}
		}
	}
	return b
}

func (tb *tables) combo(combo comboKey) (n int64) {
	for _, t := range tb.tips {
		if (comboKey{t.SenderID, t.RoomID, t.GiftID, t.ComboID}) == combo {
			n += t.Count
		}
	}
	return n
}

// write writes what the requests that were not recorded have come to, and holds it against the
// schema: no wallet below zero, no beans lost or made.
func (tb *tables) write(asked []*proto.TipRequest, b *books) error {
	debits := map[string]int64{}
	for _, req := range asked {
		if _, recorded := tb.attempts[keyOf(req)]; recorded {
			continue
		}
		a, decided := b.attempts[keyOf(req)]
		if !decided {
			return fmt.Errorf("%v was not decided", keyOf(req))
		}
		tb.attempts[keyOf(req)] = a
		if a.tip == nil {
			continue
		}
		if _, twice := tb.tips[a.tip.ID]; twice || a.tip.ID == "" {
			return fmt.Errorf("two tips are called %q", a.tip.ID)
		}
		if a.tip.HostBeans+a.tip.FeeBeans != a.tip.Beans || a.tip.HostBeans < 0 || a.tip.FeeBeans < 0 || a.tip.Beans != a.tip.Price*a.tip.Count {
			return fmt.Errorf("a tip does not add up: %+v", *a.tip)
		}
		tb.tips[a.tip.ID] = a.tip
		debits[a.tip.SenderID] += a.tip.Beans
	}
	for id, beans := range debits {
		w := b.wallets[id]
		if w.balance < 0 || tb.wallets[id].balance-w.balance != beans {
			return fmt.Errorf("the wallet of %s went from %d to %d for tips of %d", id, tb.wallets[id].balance, w.balance, beans)
		}
		tb.wallets[id] = w
	}
	return nil
}

// history is one run of both sides over the same steps.
type history struct {
	rand    *rand.Rand
	log     func(string, ...any)
	cashier *cashier
	tables  *tables
	waiting []*proto.TipRequest // asked and not answered
	sent    []*proto.TipRequest // ever
	clock   int64
}

func newHistory(seed uint64, log func(string, ...any)) *history {
	h := &history{
		rand: rand.New(rand.NewPCG(seed, 0x61f7)), log: log,
		cashier: &cashier{credits: map[string][]int64{}, prices: map[string]int64{}, stages: map[string]*booth{}, notes: map[string]*note{}},
		tables: &tables{
			attempts: map[attemptKey]attempt{}, wallets: map[string]account{}, gifts: map[string]price{}, rooms: map[string]stage{}, tips: map[string]*tip{},
		},
	}
	for i, host := range []string{"u0", "h", "h"} {
		h.cashier.stages[fmt.Sprint("r", i)] = &booth{"live", host, 500_000}
	}
	for range 3 {
		h.setPrice()
		h.setRoom()
		h.credit()
	}
	return h
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (h *history) setPrice() {
	gift := pick(h.rand, "rose", "cake", "ship")
	h.cashier.prices[gift] = pick[int64](h.rand, 1, 1, 3, 33, 500, 1_000_000)
	h.tables.gifts[gift] = price{beans: h.cashier.prices[gift], tier: 1}
	h.log("a %s costs %d", gift, h.cashier.prices[gift])
}

func (h *history) setRoom() {
	id := fmt.Sprint("r", h.rand.IntN(3))
	s := h.cashier.stages[id]
	s.phase = pick(h.rand, "live", "live", "live", "paused", "ended", "scheduled")
	s.share = pick(h.rand, 0, 1, 333_333, 500_000, 999_999, 1_000_000, h.rand.Int64N(1_000_001))
	for id, s := range h.cashier.stages {
		h.tables.rooms[id] = stage{s.phase, s.host, s.share}
	}
	h.log("%s is %s and gives its host %d ppm", id, s.phase, s.share)
}

func (h *history) credit() {
	sender, beans := fmt.Sprint("u", h.rand.IntN(4)), pick(h.rand, 1+h.rand.Int64N(60), 1+h.rand.Int64N(60), 1_000_000_000)
	h.cashier.credits[sender] = append(h.cashier.credits[sender], beans)
	w := h.tables.wallets[sender]
	h.tables.wallets[sender] = account{w.balance + beans, w.version + 1}
	h.log("%s gets %d beans", sender, beans)
}

// ask makes a request: a new one, a copy of an earlier one, or an earlier key for something else.
func (h *history) ask() *proto.TipRequest {
	if len(h.sent) > 0 && h.rand.IntN(3) == 0 {
		return pick(h.rand, h.sent...)
	}
	cmd := &proto.GiftSend{
		GiftId: pick(h.rand, "rose", "rose", "rose", "cake", "ship", "none"), Count: pick[int32](h.rand, 1, 1, 1, 2, 7, 30, MaxCount),
		ComboId: pick(h.rand, "", "c1", "c1", "c2"),
	}
	room := pick(h.rand, "r0", "r0", "r1", "r1", "r2", "r2", "none")
	sender, key := pick(h.rand, "u0", "u1", "u2", "u3", "h"), fmt.Sprint("k", h.rand.IntN(40))
	if len(h.sent) > 0 && h.rand.IntN(12) == 0 {
		earlier := pick(h.rand, h.sent...)
		sender, key = earlier.Sender.Id, earlier.Key
	}
	req := &proto.TipRequest{
		RoomId: room, GiftId: cmd.GiftId, Count: cmd.Count, ComboId: cmd.ComboId,
		Sender: &proto.User{Id: sender}, Key: key, Hash: hashTip(room, cmd),
	}
	h.sent = append(h.sent, req)
	return req
}

func (h *history) run() error {
	for step := range 30 {
		var err error
		switch n := h.rand.IntN(100); {
		case n < 70:
			for range h.rand.IntN(10) {
				h.waiting = append(h.waiting, h.ask())
			}
			err = h.batch()
		case n < 82:
			h.credit()
		case n < 91:
			h.setRoom()
		default:
			h.setPrice()
		}
		if err == nil {
			err = h.compare()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

// batch has a worker decide some of what waits. It may die before its commit: nothing happened, all
// wait on. Or after it: all happened, and all who asked ask again.
func (h *history) batch() error {
	n := min(len(h.waiting), 1+h.rand.IntN(14))
	asked := slices.Clone(h.waiting[:n])
	h.waiting = h.waiting[n:]
	h.clock++
	read := h.tables.read(asked, time.UnixMicro(h.clock))
	decided := decide(read, asked)
	fate := h.rand.IntN(10)
	if fate == 0 {
		h.log("a worker died with %d tips before its commit", n)
		h.redeliver(asked)
		return nil
	}
	if err := h.tables.write(asked, read); err != nil {
		return err
	}
	for i, req := range asked {
		want, got := h.cashier.take(req), decided[i]
		h.log("%s %s: %s: %s", req.Sender.Id, req.Key, describe(req), want.word)
		if word := spoken(got.outcome); word != want.word {
			return fmt.Errorf("%v: %s, want %s", keyOf(req), word, want.word)
		}
		if err := sameTip(got.tip, want.entry); err != nil {
			return fmt.Errorf("%v: %w", keyOf(req), err)
		}
	}
	if fate == 1 {
		h.log("a worker died after its commit, before it answered")
		h.redeliver(asked)
	}
	return nil
}

// redeliver has requests asked again, in any order, some twice, before or after the others.
func (h *history) redeliver(asked []*proto.TipRequest) {
	again := append(slices.Clone(asked), asked[:h.rand.IntN(len(asked)+1)]...)
	h.rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	if h.rand.IntN(2) == 0 {
		h.waiting = append(again, h.waiting...)
	} else {
		h.waiting = append(h.waiting, again...)
	}
}

// spoken is an outcome in the cashier's words.
func spoken(outcome proto.TipOutcome) string {
	if outcome == conflict {
		return "conflict"
	}
	return outcomeWords[outcome]
}

// sameTip checks that a request is answered with the one tip of its key and no other.
func sameTip(got *tip, want *entry) error {
	if got == nil || want == nil {
		if got != nil || want != nil {
			return fmt.Errorf("tip %+v, want %+v", got, want)
		}
		return nil
	}
	if want.id == "" {
		want.id = got.ID
	}
	has := entry{
		got.ID, got.SenderID, got.RoomID, got.GiftID, got.ComboID,
		got.Count, got.Beans, got.HostBeans, got.FeeBeans, got.ComboCount, got.Balance, got.Version,
	}
	if has != *want {
		return fmt.Errorf("tip %+v, want %+v", has, *want)
	}
	return nil
}

// compare holds the tables against the cashier's notebook.
func (h *history) compare() error {
	var issued, wallets, legs int64
	for i := range 4 {
		id := fmt.Sprint("u", i)
		balance, version := h.cashier.wallet(id)
		if got := h.tables.wallets[id]; got != (account{balance, version}) {
			return fmt.Errorf("the wallet of %s is %+v, want %d at version %d", id, got, balance, version)
		}
		wallets += balance
		for _, beans := range h.cashier.credits[id] {
			issued += beans
		}
	}
	for _, t := range h.tables.tips {
		legs += t.HostBeans + t.FeeBeans
	}
	if issued != wallets+legs {
		return fmt.Errorf("%d beans were issued, wallets and legs have %d", issued, wallets+legs)
	}
	if len(h.tables.attempts) != len(h.cashier.notes) || len(h.tables.tips) != len(h.cashier.tips) {
		return fmt.Errorf("%d outcomes and %d tips, want %d and %d", len(h.tables.attempts), len(h.tables.tips), len(h.cashier.notes), len(h.cashier.tips))
	}
	for key, got := range h.tables.attempts {
		want := h.cashier.notes[key.senderID+" "+key.key]
		if want == nil || spoken(got.outcome) != want.word {
			return fmt.Errorf("%v is recorded as %v, want %+v", key, got.outcome, want)
		}
	}
	return nil
}
