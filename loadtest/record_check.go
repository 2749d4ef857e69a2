package loadtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// RecordCheck is something that must hold of a history and the database behind it.
type RecordCheck struct {
	Name string
	// Doc says in a sentence what holds.
	Doc string
}

const (
	checkOneOutcome    = "history_one_outcome"
	checkOrderRecorded = "history_order_recorded"
	checkTipRecorded   = "history_tip_recorded"
	checkRefused       = "history_refused_left_nothing"
	checkWindow        = "history_served_in_window"
	checkSoldAll       = "history_sold_all"
)

// RecordChecks are what [CheckRecords] checks, in order.
var RecordChecks = []RecordCheck{
	{checkOneOutcome, "One key of one client has one final outcome however often and over whichever connection it was sent, and an ok always names the same id."},
	{checkOrderRecorded, "Every ok of a flash_buy or order_create has exactly one order under its client and key: of that id, room, sale and quantity."},
	{checkTipRecorded, "Every ok of a gift_send has its tip under its client and key: of that id, room, gift and count."},
	{checkRefused, "A key that was refused for good has no order and no tip."},
	{checkWindow, "Nobody was served before a sale's start, at or after its end, or after it closed, by the database's clock."},
	{checkSoldAll, "A sale that told anybody sold_out, with demand for all of its pieces, had sold all of them at some time."},
}

// RecordViolation is one thing that a history and the database contradict each other in.
type RecordViolation struct {
	// Check is the name of a RecordCheck.
	Check string
	Row   map[string]any
}

// RecordOptions say what the history went through.
type RecordOptions struct {
	// RedisLost allows what a loss of Redis explains: a sold_out or limit_per_buyer that admission gave
	// is recorded in Redis alone, so that its key may have another final outcome after the loss. A client
	// that was told ok must still never be refused afterwards.
	RedisLost bool
}

// maxRecordViolations is how many violations of one check are reported.
const maxRecordViolations = 20

// final lists the refusals that end a key for good. All others may be followed by another outcome: they
// are recorded nowhere, or may come from before the place where outcomes are recorded.
var final = map[string]map[proto.Reason]bool{
	KindFlashBuy: {
		proto.ReasonSoldOut: true, proto.ReasonLimitPerBuyer: true, proto.ReasonSaleEnded: true, proto.ReasonAttemptExpired: true,
	},
	KindOrderCreate: {proto.ReasonSoldOut: true},
	KindGiftSend:    {proto.ReasonInsufficientBeans: true, proto.ReasonUnknownGift: true, proto.ReasonConfirmationRequired: true},
}

// byRedis are the final refusals of a flash_buy that may be recorded in Redis alone.
var byRedis = map[string]bool{string(proto.ReasonSoldOut): true, string(proto.ReasonLimitPerBuyer): true}

// recordKey is an idempotency key.
type recordKey struct{ client, kind, key string }

func (r *Record) id() recordKey { return recordKey{r.Client, r.Kind, r.Key} }

// ending is a final outcome as somebody was told it.
type ending struct {
	outcome string // "ok" or a reason
	id      string // of the order or tip that an ok named
	sentMs  int64
	endedMs int64
}

func (e ending) String() string { return strings.TrimSpace(e.outcome + " " + e.id) }

func (r *Record) ending() (ending, bool) {
	e := ending{r.Outcome, r.OrderID + r.TipID, r.SentMs, r.AnsweredMs}
	return e, r.Outcome == OutcomeOK || final[r.Kind][proto.Reason(r.Outcome)]
}

// recordCheck is one run of CheckRecords.
type recordCheck struct {
	RecordOptions
	records []Record
	found   []RecordViolation
	counts  map[string]int
	// What the clients were told for good, by key, in the order of the history.
	told map[recordKey][]ending
}

// CheckRecords compares the histories of clients, in any order, with the database that tx reads, and
// returns what does not hold, at most 20 rows a check. A record that contradicts itself is an error.
// The histories need not be of everybody: what others did is not asked for. A key's refusals are kept
// for 24 h; a history is best checked within that time.
func CheckRecords(ctx context.Context, tx pgx.Tx, records []Record, opts RecordOptions) ([]RecordViolation, error) {
	c := recordCheck{RecordOptions: opts, records: records, counts: map[string]int{}, told: map[recordKey][]ending{}}
	for i := range records {
		r := &records[i]
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		if e, ok := r.ending(); ok {
			c.told[r.id()] = append(c.told[r.id()], e)
		}
	}
	kept, err := readKept(ctx, tx, slices.Collect(maps.Keys(c.keys())))
	if err != nil {
		return nil, err
	}
	c.checkOneOutcome(kept)
	c.checkRecorded(kept)
	c.checkRefused(kept)
	if err := c.checkSales(ctx, tx); err != nil {
		return nil, err
	}
	return c.found, nil
}

func (c *recordCheck) keys() map[recordKey]bool {
	keys := map[recordKey]bool{}
	for i := range c.records {
		keys[c.records[i].id()] = true
	}
	return keys
}

// report notes a violation; pairs are column names and values.
func (c *recordCheck) report(check string, pairs ...any) {
	if c.counts[check]++; c.counts[check] > maxRecordViolations {
		return
	}
	row := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		row[pairs[i].(string)] = pairs[i+1]
	}
	c.found = append(c.found, RecordViolation{Check: check, Row: row})
}

// sortedKeys gives the keys with final outcomes in an order of their own, so that reports are stable.
func (c *recordCheck) sortedKeys() []recordKey {
	return slices.SortedFunc(maps.Keys(c.told), func(a, b recordKey) int {
		return strings.Compare(a.client+"\x00"+a.kind+"\x00"+a.key, b.client+"\x00"+b.kind+"\x00"+b.key)
	})
}

// checkOneOutcome compares what a key was told with each other and with the outcome that is recorded.
func (c *recordCheck) checkOneOutcome(kept map[recordKey]*keptKey) {
	for _, key := range c.sortedKeys() {
		all := c.told[key]
		if k := kept[key]; k.outcome != "" {
			all = append(slices.Clone(all), ending{outcome: k.outcome, id: k.id})
		}
		all = distinct(all)
		if a, b, ok := c.unlike(key.kind, all); ok {
			c.report(checkOneOutcome, "client", key.client, "kind", key.kind, "key", key.key, "one", a.String(), "other", b.String())
		}
	}
}

// unlike returns the first two outcomes that nothing explains.
func (c *recordCheck) unlike(kind string, distinct []ending) (a, b ending, found bool) {
	for i, a := range distinct {
		for _, b := range distinct[i+1:] {
			if !c.explained(kind, a, b) {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// distinct merges endings of one outcome: to when it was told first and when it was asked for last.
func distinct(all []ending) (merged []ending) {
	for _, e := range all {
		i := slices.IndexFunc(merged, func(m ending) bool { return m.outcome == e.outcome && m.id == e.id })
		if i < 0 {
			merged = append(merged, e)
			continue
		}
		m := &merged[i]
		m.sentMs = max(m.sentMs, e.sentMs)
		if m.endedMs == 0 || e.endedMs != 0 && e.endedMs < m.endedMs {
			m.endedMs = e.endedMs
		}
	}
	return merged
}

// explained reports whether two unlike outcomes of a key are what a loss of Redis explains.
func (c *recordCheck) explained(kind string, a, b ending) bool {
	if !c.RedisLost || kind != KindFlashBuy {
		return false
	}
	if b.outcome == OutcomeOK {
		a, b = b, a
	}
	// Whoever was told ok is known to Postgres, with which Redis is filled again. An outcome without
	// times is the recorded one.
	if a.outcome == OutcomeOK && a.endedMs > 0 && b.sentMs >= a.endedMs {
		return false
	}
	return a.outcome != b.outcome && (byRedis[a.outcome] || byRedis[b.outcome])
}

// checkRecorded finds the rows of everything that was told as done.
func (c *recordCheck) checkRecorded(kept map[recordKey]*keptKey) {
	for i := range c.records {
		r := &c.records[i]
		if r.Outcome != OutcomeOK {
			continue
		}
		rows := kept[r.id()].rowsOf()
		if r.Kind == KindGiftSend {
			if len(rows) != 1 || rows[0].id != r.TipID || rows[0].what != r.GiftID || rows[0].quantity != r.Quantity || r.otherRoom(rows[0]) {
				c.report(checkTipRecorded, "client", r.Client, "key", r.Key, "tip_id", r.TipID, "gift_id", r.GiftID, "count", r.Quantity, "recorded", fmt.Sprint(rows))
			}
			continue
		}
		pieces := r.Quantity != 0 || r.Kind == KindFlashBuy
		if len(rows) != 1 || rows[0].id != r.OrderID || rows[0].what != r.SaleID || pieces && rows[0].quantity != r.Quantity || r.otherRoom(rows[0]) {
			c.report(checkOrderRecorded, "client", r.Client, "key", r.Key, "order_id", r.OrderID, "sale_id", r.SaleID, "quantity", r.Quantity, "recorded", fmt.Sprint(rows))
		}
	}
}

func (r *Record) otherRoom(row keptRow) bool { return r.RoomID != "" && r.RoomID != row.roomID }

// checkRefused holds that what was refused for good, and never told as done, left nothing behind.
func (c *recordCheck) checkRefused(kept map[recordKey]*keptKey) {
	for _, key := range c.sortedKeys() {
		for _, e := range c.told[key] {
			rows := kept[key].rowsOf()
			if e.outcome == OutcomeOK || len(rows) == 0 {
				continue
			}
			if c.RedisLost && key.kind == KindFlashBuy && byRedis[e.outcome] {
				continue // the key was forgotten and could be ordered
			}
			c.report(checkRefused, "client", key.client, "kind", key.kind, "key", key.key, "refused", e.outcome, "recorded", fmt.Sprint(rows))
			break
		}
	}
}
