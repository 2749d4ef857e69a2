package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed sql/read_attempts.sql
var readAttemptsSQL string

//go:embed sql/read_held.sql
var readHeldSQL string

//go:embed sql/insert_attempts.sql
var insertAttemptsSQL string

//go:embed sql/insert_flash_orders.sql
var insertFlashOrdersSQL string

// errRaced says that another transaction recorded one of our keys between our reading and writing.
var errRaced = errors.New("an attempt was recorded elsewhere meanwhile")

// maxRaces bounds how often a batch starts anew because of errRaced.
const maxRaces = 5

// booking is one transaction of the ledger over a batch of attempts; run fills in what came of it
// and may be run again.
//
// The order of its statements is what keeps a sale from being oversold by concurrent workers:
//
//  1. lock the sales, sorted, in a statement of its own. Whoever decides about a sale waits here;
//  2. read the clock, the keys' recorded outcomes and the buyers' pieces in later statements: each
//     sees everything that was committed before the locks were had, which a statement that waited
//     for a lock itself would not;
//  3. decide in memory;
//  4. insert the outcomes, sorted by key. One that is there already was recorded by a worker that
//     held the lock of another sale, since a key used twice may name two: roll back and start anew.
//  5. write the orders, raise sold by exactly what was written, and last number the room's events.
type booking struct {
	asked  []*proto.FlashAttempt
	window time.Duration // for paying

	decisions []*proto.FlashDecision
	made      []*proto.Order // of this transaction
	found     []*proto.Order // of earlier ones, as they are now
	news      roomNews
}

// commit runs the booking in a transaction. After a data error nothing was written and some attempt
// of the batch is to blame; any other error leaves open whether it was committed.
func (b *booking) commit(ctx context.Context, cfg Config) error {
	for race := 1; ; race++ {
		err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return b.run(ctx, tx) })
		if err == nil {
			return nil
		}
		if race == maxRaces || !errors.Is(err, errRaced) {
			b.reset()
			return fmt.Errorf("book %d attempts: %w", len(b.asked), err)
		}
	}
}

func (b *booking) reset() { b.decisions, b.made, b.found, b.news = nil, nil, nil, roomNews{} }

func (b *booking) run(ctx context.Context, tx pgx.Tx) error {
	b.reset()
	read, err := b.read(ctx, tx)
	if err != nil {
		return err
	}
	before := map[string]int64{}
	for id, sale := range read.sales {
		before[id] = sale.sold
	}
	decided := read.decide(b.asked)
	orders := b.newOrders(read, decided)
	if err := b.write(ctx, tx, read, decided, orders, before); err != nil {
		return err
	}
	if err := b.answer(ctx, tx, decided, orders); err != nil {
		return err
	}
	return b.news.number(ctx, tx)
}

// read locks the sales and then reads the books. Pieces that buyers hold are read of sales with a
// limit only: of others nobody asks.
func (b *booking) read(ctx context.Context, tx pgx.Tx) (*books, error) {
	saleIDs := map[string]bool{}
	buyers, keys := make([]string, 0, len(b.asked)), make([]string, 0, len(b.asked))
	holdSales, holdBuyers := make([]string, 0, len(b.asked)), make([]string, 0, len(b.asked))
	holders := make(map[holder]bool, len(b.asked))
	for _, a := range b.asked {
		saleIDs[a.SaleId] = true
		buyers, keys = append(buyers, a.Buyer.GetId()), append(keys, a.Key)
		if h := (holder{a.SaleId, a.Buyer.GetId()}); !holders[h] {
			holders[h] = true
			holdSales, holdBuyers = append(holdSales, h.saleID), append(holdBuyers, h.buyerID)
		}
	}
	read := &books{recorded: map[attemptKey]attempt{}, held: map[holder]int64{}}
	// One round trip, but one statement after another, each on its own snapshot.
	batch := new(pgx.Batch)
	batch.Queue(lockSalesSQL, slices.Sorted(maps.Keys(saleIDs))).Query(func(rows pgx.Rows) (err error) {
		read.sales, err = collectSales(rows)
		return err
	})
	batch.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&read.now) })
	batch.Queue(readAttemptsSQL, buyers, keys).Query(func(rows pgx.Rows) error {
		var key attemptKey
		var a attempt
		_, err := pgx.ForEachRow(rows, []any{&key.buyerID, &key.key, &a.hash, &a.outcome, &a.orderID}, func() error {
			read.recorded[key] = attempt{slices.Clone(a.hash), a.outcome, a.orderID}
			return nil
		})
		return err
	})
	batch.Queue(readHeldSQL, holdSales, holdBuyers).Query(func(rows pgx.Rows) error {
		var h holder
		var n int64
		_, err := pgx.ForEachRow(rows, []any{&h.saleID, &h.buyerID, &n}, func() error {
			read.held[h] = n
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("read the books: %w", err)
	}
	return read, nil
}

// newOrders makes an order for each attempt that was ordered now, by the attempt's place.
func (b *booking) newOrders(read *books, decided []decision) map[int]*proto.Order {
	orders := map[int]*proto.Order{}
	for i, d := range decided {
		if !d.fresh || d.outcome != outcomeOrdered {
			continue
		}
		a := b.asked[i]
		sale := read.sales[a.SaleId]
		orders[i] = &proto.Order{
			Id: store.NewID("ord"), ShopId: sale.shopID, RoomId: sale.roomID, SaleId: sale.id,
			Buyer: &proto.User{Id: a.Buyer.GetId(), Name: a.Buyer.GetName(), Role: proto.Role_ROLE_VIEWER},
			State: awaitingPayment.wire(), Currency: sale.currency, Amount: sale.price * int64(a.Quantity),
			Lines: []*proto.OrderLine{{
				ListingId: sale.listingID, SkuId: sale.skuID, Title: sale.title, ImageUrl: sale.imageURL,
				Quantity: a.Quantity, UnitPrice: sale.price,
			}},
			CreatedMs: read.now.UnixMilli(), ExpiresAtMs: read.now.Add(b.window).UnixMilli(), Version: 1, RequestId: a.Key, PriceVersion: 1,
		}
	}
	return orders
}

// write records outcomes and orders and raises what was sold.
func (b *booking) write(ctx context.Context, tx pgx.Tx, read *books, decided []decision, orders map[int]*proto.Order, before map[string]int64) error {
	var fresh []int
	for i, d := range decided {
		if d.fresh {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	slices.SortFunc(fresh, func(i, j int) int { return compareKeys(keyOf(b.asked[i]), keyOf(b.asked[j])) })
	var recorded int64
	batch := new(pgx.Batch)
	outcomes := attemptRows{}
	for _, i := range fresh {
		outcomes.add(b.asked[i], decided[i].outcome, orders[i].GetId())
	}
	batch.Queue(insertAttemptsSQL, outcomes.args()...).Exec(func(tag pgconn.CommandTag) error {
		recorded = tag.RowsAffected()
		return nil
	})
	if len(orders) > 0 {
		batch.Queue(insertFlashOrdersSQL, b.orderArgs(orders, read.now)...)
	}
	for _, id := range slices.Sorted(maps.Keys(read.sales)) {
		sale := read.sales[id]
		if sale.sold == before[id] {
			continue
		}
		emptied := sale.sold >= sale.quantity && !sale.soldOut
		batch.Queue(`UPDATE sale SET sold = $2, sold_out = $3 WHERE id = $1`, id, sale.sold, sale.soldOut || emptied)
		if emptied {
			b.news.add(sale.roomID, soldOutEvent(id))
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write outcomes: %w", err)
	}
	if recorded != int64(len(fresh)) {
		return errRaced
	}
	return nil
}

func (b *booking) orderArgs(orders map[int]*proto.Order, now time.Time) []any {
	var ids, sales, buyers, names, keys, sources, guides []string
	var quantities []int32
	for _, i := range slices.Sorted(maps.Keys(orders)) {
		a := b.asked[i]
		ids, sales = append(ids, orders[i].Id), append(sales, a.SaleId)
		buyers, names, keys = append(buyers, a.Buyer.GetId()), append(names, a.Buyer.GetName()), append(keys, a.Key)
		sources, guides, quantities = append(sources, a.Source), append(guides, a.Guide), append(quantities, a.Quantity)
	}
	return []any{ids, sales, buyers, names, keys, quantities, sources, guides, now, now.Add(b.window)}
}

// answer makes one decision an attempt, in order. Orders made earlier are shown as they are now.
func (b *booking) answer(ctx context.Context, tx pgx.Tx, decided []decision, orders map[int]*proto.Order) error {
	var earlier []string
	for _, d := range decided {
		if d.orderID != "" {
			earlier = append(earlier, d.orderID)
		}
	}
	var err error
	if b.found, err = readOrders(ctx, tx, earlier); err != nil {
		return err
	}
	known := map[string]*proto.Order{}
	for _, o := range b.found {
		known[o.Id] = o
	}
	for i, d := range decided {
		order := orders[d.first]
		if d.outcome != outcomeOrdered {
			order = nil
		} else if d.orderID != "" {
			order = known[d.orderID]
		}
		b.decisions = append(b.decisions, &proto.FlashDecision{
			BuyerId: b.asked[i].Buyer.GetId(), Key: b.asked[i].Key, Outcome: d.outcome, Order: order,
		})
	}
	for _, i := range slices.Sorted(maps.Keys(orders)) {
		b.made = append(b.made, orders[i])
	}
	return nil
}

// attemptRows are the columns of insert_attempts.sql.
type attemptRows struct {
	buyers, keys, sales, outcomes, orders []string
	hashes                                [][]byte
	quantities                            []int32
}

func (r *attemptRows) add(a *proto.FlashAttempt, outcome proto.FlashOutcome, orderID string) {
	r.buyers, r.keys = append(r.buyers, a.Buyer.GetId()), append(r.keys, a.Key)
	r.hashes, r.sales = append(r.hashes, a.Hash), append(r.sales, a.SaleId)
	r.quantities, r.outcomes, r.orders = append(r.quantities, a.Quantity), append(r.outcomes, outcomeWords[outcome]), append(r.orders, orderID)
}

func (r *attemptRows) args() []any {
	return []any{r.buyers, r.keys, r.hashes, r.sales, r.quantities, r.outcomes, r.orders}
}
