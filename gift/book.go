package gift

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

var (
	//go:embed sql/insert_attempts.sql
	insertAttempts string
	//go:embed sql/read_attempts.sql
	readAttempts string
	//go:embed sql/refuse_attempts.sql
	refuseAttempts string
	//go:embed sql/read_rooms.sql
	readRooms string
	//go:embed sql/read_combos.sql
	readCombos string
	//go:embed sql/insert_tips.sql
	insertTips string
	//go:embed sql/update_wallets.sql
	updateWallets string
	//go:embed sql/add_to_ranking.sql
	addToRanking string
	//go:embed sql/read_tips.sql
	readTips string
)

func compareKeys(a, b attemptKey) int {
	return cmp.Or(strings.Compare(a.senderID, b.senderID), strings.Compare(a.key, b.key))
}

func senderOf(req *proto.TipRequest) string { return req.GetSender().GetId() }

// columns collects one value a row for unnest.
func columns[T any, C any](rows []T, column func(T) C) []C {
	out := make([]C, len(rows))
	for i, r := range rows {
		out[i] = column(r)
	}
	return out
}

// book decides and writes requests in a transaction and returns one attempt a request and the tips
// that are new. Senders must agree to confirm beans and more, 0 for never. Nothing counts until the
// transaction has committed.
func book(ctx context.Context, tx pgx.Tx, confirm int64, asked []*proto.TipRequest) (decided []attempt, tips []*tip, err error) {
	b := &books{
		attempts: map[attemptKey]attempt{}, tipIDs: map[attemptKey]string{}, wallets: map[string]account{},
		gifts: map[string]price{}, rooms: map[string]stage{}, combos: map[comboKey]int64{},
		confirm: confirm,
	}
	fresh, err := claim(ctx, tx, b, asked)
	if err != nil {
		return nil, nil, err
	}
	if len(fresh) == 0 {
		return decide(b, asked), nil, nil
	}
	if err := b.read(ctx, tx, fresh); err != nil {
		return nil, nil, fmt.Errorf("read books: %w", err)
	}
	decided = decide(b, asked)
	if tips, err = b.write(ctx, tx, fresh); err != nil {
		return nil, nil, fmt.Errorf("write books: %w", err)
	}
	return decided, tips, nil
}

// claim records the attempts whose key is free and returns their requests, first ones of their key,
// in arrival order. The others' outcomes go into the books.
func claim(ctx context.Context, tx pgx.Tx, b *books, asked []*proto.TipRequest) (fresh []*proto.TipRequest, err error) {
	var firsts []*proto.TipRequest
	for _, req := range asked {
		if _, seen := b.tipIDs[keyOf(req)]; !seen {
			b.tipIDs[keyOf(req)] = store.NewID("tip")
			firsts = append(firsts, req)
		}
	}
	sorted := slices.SortedFunc(slices.Values(firsts), func(x, y *proto.TipRequest) int {
		return compareKeys(keyOf(x), keyOf(y))
	})
	rows, err := tx.Query(ctx, insertAttempts,
		columns(sorted, senderOf), columns(sorted, (*proto.TipRequest).GetKey), columns(sorted, (*proto.TipRequest).GetHash),
		columns(sorted, func(r *proto.TipRequest) string { return b.tipIDs[keyOf(r)] }))
	if err != nil {
		return nil, fmt.Errorf("claim attempts: %w", err)
	}
	claimed := make(map[attemptKey]bool, len(firsts))
	var k attemptKey
	if _, err := pgx.ForEachRow(rows, []any{&k.senderID, &k.key}, func() error {
		claimed[k] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("claim attempts: %w", err)
	}
	var again []*proto.TipRequest
	for _, req := range firsts {
		if claimed[keyOf(req)] {
			fresh = append(fresh, req)
		} else {
			again = append(again, req)
		}
	}
	if len(again) > 0 {
		err = b.recall(ctx, tx, again)
	}
	return fresh, err
}

// recall reads the recorded attempts of requests that were asked before.
func (b *books) recall(ctx context.Context, tx pgx.Tx, again []*proto.TipRequest) error {
	for _, req := range again {
		// Stands where the row went between the two statements, by pruning.
		b.attempts[keyOf(req)] = attempt{hash: req.Hash, outcome: tryAgain}
	}
	rows, err := tx.Query(ctx, readAttempts, columns(again, senderOf), columns(again, (*proto.TipRequest).GetKey))
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	owners := map[string]attemptKey{} // by tip
	var k attemptKey
	var hash []byte
	var word, tipID string
	var beans int64
	if _, err := pgx.ForEachRow(rows, []any{&k.senderID, &k.key, &hash, &word, &tipID, &beans}, func() error {
		b.attempts[k] = attempt{hash: bytes.Clone(hash), outcome: outcomeOf(word), beans: beans}
		if tipID != "" {
			owners[tipID] = k
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	tips, err := tipsByID(ctx, tx, slices.Collect(maps.Keys(owners)))
	if err != nil {
		return err
	}
	for _, t := range tips {
		a := b.attempts[owners[t.ID]]
		a.tip = t
		b.attempts[owners[t.ID]] = a
	}
	return nil
}

func tipsByID(ctx context.Context, q store.Querier, ids []string) ([]*tip, error) {
	rows, err := q.Query(ctx, readTips, ids)
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	tips, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[tip])
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	return tips, nil
}

// read locks the senders' wallets and reads all that deciding needs, in one round trip. The locking
// statement itself returns the balances: it gives each row as it is under its lock. A statement after
// it could also find a wallet that was opened in between and that nobody has locked. What is read of
// other tables must be no older than the locks, so it comes in later statements.
func (b *books) read(ctx context.Context, tx pgx.Tx, fresh []*proto.TipRequest) error {
	senders, rooms, gifts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	combos := map[comboKey]bool{}
	for _, req := range fresh {
		senders[senderOf(req)], rooms[req.RoomId], gifts[req.GiftId] = true, true, true
		if req.ComboId != "" {
			combos[comboKey{senderOf(req), req.RoomId, req.GiftId, req.ComboId}] = true
		}
	}
	senderIDs := slices.Collect(maps.Keys(senders))
	asked := slices.Collect(maps.Keys(combos))

	var batch pgx.Batch
	batch.Queue(`SELECT user_id, balance, version FROM wallet WHERE user_id = ANY ($1) ORDER BY user_id FOR UPDATE`, senderIDs).Query(func(rows pgx.Rows) error {
		var id string
		var w account
		_, err := pgx.ForEachRow(rows, []any{&id, &w.balance, &w.version}, func() error { b.wallets[id] = w; return nil })
		return err
	})
	batch.Queue(readRooms, slices.Collect(maps.Keys(rooms))).Query(func(rows pgx.Rows) error {
		var id string
		var r stage
		_, err := pgx.ForEachRow(rows, []any{&b.now, &id, &r.phase, &r.hostID, &r.hostPPM}, func() error {
			if id != "" {
				b.rooms[id] = r
			}
			return nil
		})
		return err
	})
	batch.Queue(`SELECT id, beans, tier FROM gift WHERE id = ANY ($1)`, slices.Collect(maps.Keys(gifts))).Query(func(rows pgx.Rows) error {
		var id string
		var p price
		_, err := pgx.ForEachRow(rows, []any{&id, &p.beans, &p.tier}, func() error { b.gifts[id] = p; return nil })
		return err
	})
	if len(asked) > 0 {
		batch.Queue(readCombos,
			columns(asked, func(c comboKey) string { return c.senderID }), columns(asked, func(c comboKey) string { return c.roomID }),
			columns(asked, func(c comboKey) string { return c.giftID }), columns(asked, func(c comboKey) string { return c.comboID }),
		).Query(func(rows pgx.Rows) error {
			var c comboKey
			var n int64
			_, err := pgx.ForEachRow(rows, []any{&c.senderID, &c.roomID, &c.giftID, &c.comboID, &n}, func() error { b.combos[c] = n; return nil })
			return err
		})
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// write writes what was decided about the requests that this transaction claimed, in one round
// trip, and returns the new tips.
func (b *books) write(ctx context.Context, tx pgx.Tx, fresh []*proto.TipRequest) (tips []*tip, err error) {
	var refused []*proto.TipRequest
	touched := map[string]bool{}
	for _, req := range fresh {
		if t := b.attempts[keyOf(req)].tip; t != nil {
			tips = append(tips, t)
			touched[t.SenderID] = true
		} else {
			refused = append(refused, req)
		}
	}
	var batch pgx.Batch
	if len(refused) > 0 {
		batch.Queue(refuseAttempts, columns(refused, senderOf), columns(refused, (*proto.TipRequest).GetKey),
			columns(refused, func(r *proto.TipRequest) string { return outcomeWords[b.attempts[keyOf(r)].outcome] }),
			columns(refused, func(r *proto.TipRequest) int64 { return b.attempts[keyOf(r)].beans }))
	}
	if len(tips) > 0 {
		senders := slices.Collect(maps.Keys(touched))
		batch.Queue(updateWallets, senders,
			columns(senders, func(id string) int64 { return b.wallets[id].balance }),
			columns(senders, func(id string) int64 { return b.wallets[id].version }))
		queueTips(&batch, tips, b.now)
		queueRanking(&batch, tips)
	}
	return tips, tx.SendBatch(ctx, &batch).Close()
}

func queueTips(batch *pgx.Batch, tips []*tip, at time.Time) {
	text := func(column func(*tip) string) []string { return columns(tips, column) }
	small := func(column func(*tip) int32) []int32 { return columns(tips, column) }
	big := func(column func(*tip) int64) []int64 { return columns(tips, column) }
	batch.Queue(insertTips,
		text(func(t *tip) string { return t.ID }),
		text(func(t *tip) string { return t.RoomID }),
		text(func(t *tip) string { return t.HostID }),
		text(func(t *tip) string { return t.SenderID }),
		text(func(t *tip) string { return t.SenderName }),
		small(func(t *tip) int32 { return t.SenderRole }),
		text(func(t *tip) string { return t.GiftID }),
		small(func(t *tip) int32 { return t.Tier }),
		big(func(t *tip) int64 { return t.Count }),
		big(func(t *tip) int64 { return t.Price }),
		big(func(t *tip) int64 { return t.Beans }),
		big(func(t *tip) int64 { return t.HostPPM }),
		big(func(t *tip) int64 { return t.HostBeans }),
		big(func(t *tip) int64 { return t.FeeBeans }),
		text(func(t *tip) string { return t.ComboID }),
		big(func(t *tip) int64 { return t.ComboCount }),
		big(func(t *tip) int64 { return t.Balance }),
		big(func(t *tip) int64 { return t.Version }),
		at)
}

func queueRanking(batch *pgx.Batch, tips []*tip) {
	type place struct{ roomID, senderID string }
	type sum struct {
		last        *tip
		beans, tips int64
	}
	sums := map[place]sum{}
	for _, t := range tips {
		s := sums[place{t.RoomID, t.SenderID}]
		sums[place{t.RoomID, t.SenderID}] = sum{last: t, beans: s.beans + t.Beans, tips: s.tips + 1}
	}
	rows := slices.Collect(maps.Values(sums))
	batch.Queue(addToRanking,
		columns(rows, func(s sum) string { return s.last.RoomID }), columns(rows, func(s sum) string { return s.last.SenderID }),
		columns(rows, func(s sum) string { return s.last.SenderName }), columns(rows, func(s sum) int32 { return s.last.SenderRole }),
		columns(rows, func(s sum) int64 { return s.beans }), columns(rows, func(s sum) int64 { return s.tips }))
}
