package cart

import (
	"fmt"
	"maps"
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
// in and across batches, keys used again for something else, voids written in between, returned
// stock, edits, ends, and workers that die before or after their commit. After each step everything
// that was decided must be what a serial shop that serves one attempt at a time would have made of it.
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
					in.Fatalf("seed %d: %v\nreplay: LIVECART_MODEL_SEED=%d go test -run TestModelSeeded -v ./cart", seed, err, seed)
				}
			}
		})
	}
}

// stallKeeper is the naive model: a keeper with a notebook who serves one attempt at a time, and who
// goes through all orders again for each figure. It shares no code with the ledger.
type stallKeeper struct {
	clock  int64 // microseconds
	stalls map[string]*stallOnSale
	notes  map[string]*note // by buyer and key
	orders []*noted
}

type stallOnSale struct {
	room            string
	quantity, limit int64
	opens, ends     int64
	stopped         bool
}

// note is what became of a key, and what it asked for, also in words.
type note struct {
	saleID string
	pieces int32
	asked  string
	word   string
	order  *noted
}

func newNote(saleID string, pieces int32, word string) *note {
	return &note{saleID: saleID, pieces: pieces, asked: fmt.Sprintf("%s %d", saleID, pieces), word: word}
}

// noted is an order. id is the ledger's name for it, once it is known.
type noted struct {
	id, saleID, buyerID string
	pieces              int64
	returned            bool
}

func (k *stallKeeper) pieces(saleID, buyerID string) (all, own int64) {
	for _, o := range k.orders {
		if o.saleID == saleID && !o.returned {
			all += o.pieces
			if o.buyerID == buyerID {
				own += o.pieces
			}
		}
	}
	return all, own
}

// serve serves one attempt and returns what the buyer is told.
func (k *stallKeeper) serve(saleID, roomID, buyerID, key string, pieces int32) (string, *noted) {
	page := buyerID + " " + key
	if n := k.notes[page]; n != nil {
		if n.saleID != saleID || n.pieces != pieces {
			return "conflict", nil
		}
		return n.word, n.order
	}
	s := k.stalls[saleID]
	if s == nil {
		return "sale_not_found", nil
	}
	if s.room != roomID {
		return "sale_not_found", nil
	}
	n := newNote(saleID, pieces, "")
	sold, own := k.pieces(saleID, buyerID)
	if s.stopped || k.clock >= s.ends {
		n.word = "sale_ended"
	} else if k.clock < s.opens {
		return "not_started", nil
	} else if pieces <= 0 || pieces >= 100 {
		n.word = "rejected"
	} else if s.quantity-sold < int64(pieces) {
		n.word = "sold_out"
	} else if s.limit != 0 && own+int64(pieces) > s.limit {
		n.word = "limit_per_buyer"
	} else {
		n.word = "ordered"
		n.order = &noted{saleID: saleID, buyerID: buyerID, pieces: int64(pieces)}
		k.orders = append(k.orders, n.order)
	}
	k.notes[page] = n
	return n.word, n.order
}

// tables are what Postgres would hold: what a transaction reads before it decides, and what it writes
// after that.
type tables struct {
	now      time.Time
	sales    map[string]saleRow
	attempts map[attemptKey]attempt
	orders   map[string]*orderRow
}

type orderRow struct {
	holder
	pieces, restocked int64
}

// read reads as booking.read does: only what the attempts name.
func (tb *tables) read(asked []*proto.FlashAttempt) *books {
	b := &books{now: tb.now, sales: map[string]*saleRow{}, recorded: map[attemptKey]attempt{}, held: map[holder]int64{}}
	for _, a := range asked {
		if sale, ok := tb.sales[a.SaleId]; ok {
			b.sales[a.SaleId] = &sale
		}
		if before, ok := tb.attempts[keyOf(a)]; ok {
			b.recorded[keyOf(a)] = before
		}
		if h := tb.held(holder{a.SaleId, a.Buyer.Id}); h > 0 {
			b.held[holder{a.SaleId, a.Buyer.Id}] = h
		}
	}
	return b
}

func (tb *tables) held(h holder) (n int64) {
	for _, o := range tb.orders {
		if o.holder == h {
			n += o.pieces - o.restocked
		}
	}
	return n
}

// write writes as booking.write does, and as the schema allows: one outcome a key, and never more
// sold than there is.
func (tb *tables) write(asked []*proto.FlashAttempt, b *books, decided []decision, orders map[int]*proto.Order) error {
	for i, d := range decided {
		if !d.fresh {
			continue
		}
		key := keyOf(asked[i])
		if _, twice := tb.attempts[key]; twice {
			return fmt.Errorf("%v is recorded twice", key)
		}
		word, final := outcomeWords[d.outcome]
		if !final {
			return fmt.Errorf("%v is recorded as %v", key, d.outcome)
		}
		row := attempt{hash: asked[i].Hash, outcome: word}
		if order := orders[i]; order != nil {
			row.orderID = order.Id
			tb.orders[order.Id] = &orderRow{holder{order.SaleId, order.Buyer.Id}, int64(order.Lines[0].Quantity), 0}
		}
		tb.attempts[key] = row
	}
	for id, sale := range b.sales {
		if sale.sold < 0 || sale.sold > sale.quantity {
			return fmt.Errorf("sale %s has sold %d of %d", id, sale.sold, sale.quantity)
		}
		tb.sales[id] = *sale
	}
	return nil
}

// history is one run of both sides over the same steps.
type history struct {
	rand    *rand.Rand
	log     func(string, ...any)
	keeper  *stallKeeper
	tables  *tables
	waiting []*proto.FlashAttempt // asked and not answered
	sent    []*proto.FlashAttempt // ever
}

func newHistory(seed uint64, log func(string, ...any)) *history {
	h := &history{
		rand: rand.New(rand.NewPCG(seed, 0x5a1e)), log: log,
		keeper: &stallKeeper{clock: 1_000_000, stalls: map[string]*stallOnSale{}, notes: map[string]*note{}},
		tables: &tables{sales: map[string]saleRow{}, attempts: map[attemptKey]attempt{}, orders: map[string]*orderRow{}},
	}
	for range 1 + h.rand.IntN(3) {
		h.open()
	}
	return h
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (h *history) open() {
	id := fmt.Sprint("s", len(h.keeper.stalls))
	s := &stallOnSale{
		room: pick(h.rand, "r0", "r0", "r1"), quantity: 1 + h.rand.Int64N(15), limit: h.rand.Int64N(5),
		opens: h.keeper.clock + pick[int64](h.rand, -10, -10, -10, 0, 1, 20), ends: h.keeper.clock + pick[int64](h.rand, 1, 30, 300, 300, 300),
	}
	h.keeper.stalls[id] = s
	h.tables.sales[id] = saleRow{
		id: id, roomID: s.room, quantity: s.quantity, limit: int32(s.limit), price: 7, currency: "CNY",
		startsAt: time.UnixMicro(s.opens), endsAt: time.UnixMicro(s.ends),
	}
	h.log("open %s: %+v", id, *s)
}

// ask makes an attempt: a new one, a copy of an earlier one, or an earlier key for something else.
func (h *history) ask() *proto.FlashAttempt {
	if len(h.sent) > 0 && h.rand.IntN(3) == 0 {
		return pick(h.rand, h.sent...)
	}
	saleID := fmt.Sprint("s", h.rand.IntN(len(h.keeper.stalls)))
	roomID := h.keeper.stalls[saleID].room
	switch h.rand.IntN(25) {
	case 0:
		saleID = "none"
	case 1:
		roomID = "r2"
	}
	pieces := pick[int32](h.rand, 1, 1, 1, 1, 2, 2, 3)
	if h.rand.IntN(15) == 0 {
		pieces = pick[int32](h.rand, 0, -1, 99, 100, 1<<31-1, -1<<31)
	}
	buyer, key := fmt.Sprint("b", h.rand.IntN(4)), fmt.Sprint("k", h.rand.IntN(40))
	if len(h.sent) > 0 && h.rand.IntN(12) == 0 {
		earlier := pick(h.rand, h.sent...)
		buyer, key = earlier.Buyer.Id, earlier.Key
	}
	a := &proto.FlashAttempt{
		SaleId: saleID, RoomId: roomID, Buyer: &proto.User{Id: buyer}, Key: key, Quantity: pieces,
		Hash: fmt.Appendf(nil, "%s %d", saleID, pieces),
	}
	h.sent = append(h.sent, a)
	return a
}

func (h *history) run() error {
	for step := range 40 {
		var err error
		switch n := h.rand.IntN(100); {
		case n < 60:
			for range h.rand.IntN(10) {
				h.waiting = append(h.waiting, h.ask())
			}
			err = h.batch()
		case n < 66:
			h.void()
		case n < 76:
			h.giveBack()
		case n < 84:
			h.edit()
		case n < 95:
			h.keeper.clock += pick[int64](h.rand, 1, 1, 10, 19)
			h.log("the clock is %d", h.keeper.clock)
		case n < 97:
			h.stop()
		default:
			if len(h.keeper.stalls) < 4 {
				h.open()
			}
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
	h.tables.now = time.UnixMicro(h.keeper.clock)
	read := h.tables.read(asked)
	decided := read.decide(asked)
	orders := (&booking{asked: asked, window: time.Minute}).newOrders(read, decided)
	fate := h.rand.IntN(10)
	if fate == 0 {
		h.log("a worker died with %d attempts before its commit", n)
		h.redeliver(asked)
		return nil
	}
	if err := h.tables.write(asked, read, decided, orders); err != nil {
		return err
	}
	for i, a := range asked {
		word, order := h.keeper.serve(a.SaleId, a.RoomId, a.Buyer.Id, a.Key, a.Quantity)
		h.log("%s %s: %d of %s in %s: %s", a.Buyer.Id, a.Key, a.Quantity, a.SaleId, a.RoomId, word)
		if got := spoken(decided[i].outcome); got != word {
			return fmt.Errorf("%s %s, %d of %s: %s, want %s", a.Buyer.Id, a.Key, a.Quantity, a.SaleId, got, word)
		}
		if err := sameOrder(a, decided[i], orders, order); err != nil {
			return err
		}
	}
	if fate == 1 {
		h.log("a worker died after its commit, before it answered")
		h.redeliver(asked)
	}
	return nil
}

// redeliver has attempts asked again, in any order, some twice, before or after the others.
func (h *history) redeliver(asked []*proto.FlashAttempt) {
	again := append(slices.Clone(asked), asked[:h.rand.IntN(len(asked)+1)]...)
	h.rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	if h.rand.IntN(2) == 0 {
		h.waiting = append(again, h.waiting...)
	} else {
		h.waiting = append(h.waiting, again...)
	}
}

// spoken is an outcome in the keeper's words.
func spoken(outcome proto.FlashOutcome) string {
	switch outcome {
	case outcomeConflict:
		return "conflict"
	case outcomeNotStarted:
		return "not_started"
	case outcomeSaleNotFound:
		return "sale_not_found"
	}
	return outcomeWords[outcome]
}

// sameOrder checks that an attempt is answered with the one order of its key and no other.
func sameOrder(a *proto.FlashAttempt, d decision, orders map[int]*proto.Order, want *noted) error {
	id := d.orderID
	if d.outcome != outcomeOrdered {
		if id != "" {
			return fmt.Errorf("%v is refused with order %s", keyOf(a), id)
		}
		return nil
	}
	if id == "" {
		order := orders[d.first]
		if order == nil {
			return fmt.Errorf("%v is ordered without an order", keyOf(a))
		}
		if order.Buyer.Id != want.buyerID || order.SaleId != want.saleID || order.Amount != 7*want.pieces || int64(order.Lines[0].Quantity) != want.pieces {
			return fmt.Errorf("%v got the order %v, want %+v", keyOf(a), order, *want)
		}
		id = order.Id
	}
	if want.id == "" {
		want.id = id
	}
	if want.id != id {
		return fmt.Errorf("%v got order %s, had %s", keyOf(a), id, want.id)
	}
	return nil
}

// void is the reaper: it writes void under keys that nobody decided.
func (h *history) void() {
	for range 1 + h.rand.IntN(3) {
		a := h.ask()
		if page := a.Buyer.Id + " " + a.Key; h.keeper.notes[page] == nil {
			h.keeper.notes[page] = newNote(a.SaleId, a.Quantity, "void")
			h.tables.attempts[keyOf(a)] = attempt{hash: a.Hash, outcome: "void"}
			h.log("void %s", page)
		}
	}
}

// giveBack is an order that expired or was cancelled.
func (h *history) giveBack() {
	if len(h.keeper.orders) == 0 {
		return
	}
	o := pick(h.rand, h.keeper.orders...)
	if o.returned {
		return
	}
	o.returned = true
	row := h.tables.orders[o.id]
	row.restocked = row.pieces
	sale := h.tables.sales[o.saleID]
	sale.sold -= row.pieces
	h.tables.sales[o.saleID] = sale
	h.log("order %s of %s gave %d back to %s", o.id, o.buyerID, o.pieces, o.saleID)
}

// edit changes a sale's quantity, never below what is sold, or its limit.
func (h *history) edit() {
	id := fmt.Sprint("s", h.rand.IntN(len(h.keeper.stalls)))
	s, sale := h.keeper.stalls[id], h.tables.sales[id]
	sold, _ := h.keeper.pieces(id, "")
	if h.rand.IntN(2) == 0 {
		s.quantity = max(1, sold+h.rand.Int64N(6))
		sale.quantity = s.quantity
	} else {
		s.limit = h.rand.Int64N(5)
		sale.limit = int32(s.limit)
	}
	h.tables.sales[id] = sale
	h.log("%s has %d pieces and a limit of %d", id, s.quantity, s.limit)
}

func (h *history) stop() {
	id := fmt.Sprint("s", h.rand.IntN(len(h.keeper.stalls)))
	sale := h.tables.sales[id]
	h.keeper.stalls[id].stopped, sale.closed = true, true
	h.tables.sales[id] = sale
	h.log("%s stops", id)
}

// compare holds the tables against the keeper's notebook. It is most of what a history costs, and so
// reads each of the two once.
func (h *history) compare() error {
	sold, own := map[string]int64{}, map[holder]int64{}
	for _, o := range h.keeper.orders {
		if !o.returned {
			sold[o.saleID] += o.pieces
			own[holder{o.saleID, o.buyerID}] += o.pieces
		}
	}
	for id, s := range h.keeper.stalls {
		if got := h.tables.sales[id].sold; got != sold[id] || sold[id] > s.quantity {
			return fmt.Errorf("%s has sold %d, want %d of %d", id, got, sold[id], s.quantity)
		}
	}
	held := map[holder]int64{}
	for _, o := range h.tables.orders {
		if left := o.pieces - o.restocked; left != 0 {
			held[o.holder] += left
		}
	}
	if !maps.Equal(held, own) {
		return fmt.Errorf("the buyers hold %v, want %v", held, own)
	}
	if len(h.tables.attempts) != len(h.keeper.notes) {
		return fmt.Errorf("%d outcomes are recorded, want %d", len(h.tables.attempts), len(h.keeper.notes))
	}
	for key, got := range h.tables.attempts {
		want := h.keeper.notes[key.buyerID+" "+key.key]
		if want == nil || got.outcome != want.word || string(got.hash) != want.asked {
			return fmt.Errorf("%v is recorded as %s for %s, want %+v", key, got.outcome, got.hash, want)
		}
	}
	if len(h.tables.orders) != len(h.keeper.orders) {
		return fmt.Errorf("there are %d orders, want %d", len(h.tables.orders), len(h.keeper.orders))
	}
	return nil
}
