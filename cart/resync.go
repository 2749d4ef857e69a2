package cart

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"livecart/session/store"
)

//go:embed resync.lua
var resyncLua string

//go:embed sql/read_buyers.sql
var readBuyersSQL string

//go:embed sql/read_moved_buyers.sql
var readMovedBuyersSQL string

var resyncScript = store.NewScript(resyncLua)

const (
	// buyersChunk is how many buyers one command loads into Redis, some 10 ms of its time.
	buyersChunk = 5000
	// loadingAge is how long buyers are kept that were loaded for a Resync which did not end.
	loadingAge = time.Minute
	// countersAge is how long counters outlive their sale: as long as its keys.
	countersAge = markAge + time.Hour
)

// resyncer makes the Redis counters of a sale agree with Postgres. Nothing else makes them, and
// stock that returns is never added to them.
//
// One Resync: lock the sale's row, so that nothing is decided meanwhile; read the pending keys from
// Redis; look up their outcomes; one script sets available = quantity − sold − what is pending and
// not decided (which it adds up itself, for attempts go on being reserved), ends the decided ones
// and starts a new epoch; unlock. Safe for concurrent use.
type resyncer struct {
	cfg   Config
	stock *stockNews
	group singleflight.Group
}

func newResyncer(cfg Config, stock *stockNews) *resyncer { return &resyncer{cfg: cfg, stock: stock} }

// resync counts a sale anew. ErrSaleNotFound is for a sale that does not exist.
func (r *resyncer) resync(ctx context.Context, saleID string) error {
	_, err := r.count(ctx, saleID)
	return err
}

// ensure is resync for many who miss the counters at once: they share one.
func (r *resyncer) ensure(ctx context.Context, saleID string) error {
	_, err, _ := r.group.Do(saleID, func() (any, error) { return nil, r.resync(ctx, saleID) })
	return err
}

// count counts a sale anew and returns the reservations that stay undecided.
func (r *resyncer) count(ctx context.Context, saleID string) ([]reservation, error) {
	run, err := redisRun(ctx, r.cfg.Redis)
	if err != nil {
		return nil, fmt.Errorf("resync sale %s: %w", saleID, err)
	}
	var c counting
	var news roomNews
	err = store.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		c, news = counting{cfg: r.cfg, run: run}, roomNews{}
		if err := c.read(ctx, tx, saleID); err != nil {
			return err
		}
		if err := c.loadBuyers(ctx); err != nil {
			return err
		}
		if err := c.write(ctx); err != nil {
			return err
		}
		return c.finish(ctx, tx, news)
	})
	if err != nil {
		return nil, wrap(err, "resync sale %s", saleID)
	}
	news.publish(r.cfg)
	r.stock.changed(saleID)
	return c.undecided(), nil
}

// counting is one Resync.
type counting struct {
	cfg  Config
	run  string // of the Redis server
	sale *saleRow
	now  time.Time
	// The counters that Redis has: their epoch, when they were counted, and whether marks were lost
	// before; anew when they cannot be trusted.
	epoch   int64
	found   string // the epoch as the script must find it, "" where the counters were taken away
	synced  time.Time
	lossy   bool
	anew    bool
	another bool // they come from another server, or from none
	pending []reservation
	// What is recorded under the keys of the pending ones, hash and outcome.
	recorded map[attemptKey]attempt
	// Buyers of orders that had no reservation, of whom Redis counts too little.
	strays []string
	// Pieces of buyers in orders: of all where the counters are made anew, else of the strays and of those
	// whose orders moved.
	buyers map[string]int64
}

// read locks the sale and reads what both sides know.
func (c *counting) read(ctx context.Context, tx pgx.Tx, saleID string) (err error) {
	if c.sale, c.now, err = lockSale(ctx, tx, saleID); err != nil {
		return err
	}
	if err := c.readRedis(ctx); err != nil {
		return err
	}
	if c.recorded, err = readRecorded(ctx, tx, c.pending); err != nil {
		return err
	}
	if c.anew {
		c.buyers, err = readBuyers(ctx, tx, readBuyersSQL, saleID)
		if c.another {
			// A first count finds nobody; a later one cannot know which marks there were.
			c.lossy = len(c.buyers) > 0
		}
		return err
	}
	// A key that was released may have been counted as an order when it was reserved once more.
	for _, p := range c.pending {
		if a, known := c.recorded[p.attemptKey]; known && a.outcome == outcomeWords[outcomeOrdered] {
			c.strays = append(c.strays, p.buyerID)
		}
	}
	c.buyers, err = readBuyers(ctx, tx, readMovedBuyersSQL, saleID, c.synced, c.strays, c.lossy)
	return err
}

func (c *counting) readRedis(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, store.RedisTimeout)
	defer cancel()
	keys := saleKeys(c.sale.id)
	pipe := c.cfg.Redis.Pipeline()
	counters := pipe.HMGet(ctx, keys[0], "epoch", "synced", "lossy", "run")
	pending := pipe.HGetAll(ctx, keys[1])
	strays := pipe.HVals(ctx, keys[4])
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	known := counters.Val()
	epoch, hasEpoch := known[0].(string)
	synced, hasSynced := known[1].(string)
	var epochErr, syncedErr error
	var micros int64
	if hasEpoch && hasSynced {
		c.epoch, epochErr = strconv.ParseInt(epoch, 10, 64)
		micros, syncedErr = strconv.ParseInt(synced, 10, 64)
	}
	if err := errors.Join(epochErr, syncedErr); err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	c.synced = time.UnixMicro(micros)
	c.lossy = known[2] == "1"
	// An epoch that Postgres is past comes from a replica or a file that lags behind.
	c.another = !hasEpoch || !hasSynced || c.epoch < c.sale.epoch || c.run != c.sale.redisRun || known[3] != c.run
	// One that Postgres has not reached comes from a Resync whose end was not committed, or from commits
	// that a standby without them has lost: what it says of buyers may be of orders that are no more.
	c.anew = c.another || c.epoch > c.sale.epoch
	c.found = epoch
	c.strays = strays.Val()
	if c.anew {
		// From here on nobody reserves by them: a key that was decided long ago would be reserved once more,
		// after its reservations were read.
		c.found = ""
		pipe.Unlink(ctx, keys[0])
		pending = pipe.HGetAll(ctx, keys[1])
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("take counters away: %w", err)
		}
	}
	for field, value := range pending.Val() {
		r, err := parseReservation(field, value)
		if err != nil {
			return err
		}
		c.pending = append(c.pending, r)
	}
	return nil
}

// readRecorded returns what is recorded under the keys of reservations.
func readRecorded(ctx context.Context, q store.Querier, pending []reservation) (map[attemptKey]attempt, error) {
	recorded := map[attemptKey]attempt{}
	if len(pending) == 0 {
		return recorded, nil
	}
	buyers, keys := make([]string, len(pending)), make([]string, len(pending))
	for i, p := range pending {
		buyers[i], keys[i] = p.buyerID, p.key
	}
	rows, err := q.Query(ctx, readAttemptsSQL, buyers, keys)
	if err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	var key attemptKey
	var a attempt
	if _, err := pgx.ForEachRow(rows, []any{&key.buyerID, &key.key, &a.hash, &a.outcome, &a.orderID}, func() error {
		recorded[key] = attempt{slices.Clone(a.hash), a.outcome, a.orderID}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	return recorded, nil
}

func readBuyers(ctx context.Context, q store.Querier, sql string, args ...any) (map[string]int64, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read buyers: %w", err)
	}
	buyers := map[string]int64{}
	var id string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		buyers[id] = n
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read buyers: %w", err)
	}
	return buyers, nil
}

// write sets the counters in Redis. Where they are not any more what was read and loaded, because Redis lost
// them or the lock was lost meanwhile, that is an error and the counting begins anew with the next Resync.
func (c *counting) write(ctx context.Context) error {
	c.epoch = max(c.epoch, c.sale.epoch) + 1
	closed := c.sale.endedAt(c.now)
	ttl := countersAge
	if !closed {
		ttl += c.sale.endsAt.Sub(c.now)
	}
	keys := append(saleKeys(c.sale.id), c.loading())
	var decided []any
	for _, p := range c.pending {
		if a, known := c.recorded[p.attemptKey]; known {
			// A key may have been used for another sale: then this one has no order of it.
			ordered := a.outcome == outcomeWords[outcomeOrdered] && bytes.Equal(a.hash, p.hash)
			decided = append(decided, p.user+":"+p.key, flag(ordered))
		}
	}
	args := []any{
		c.sale.roomID, store.HashUser(c.sale.createdBy), c.sale.quantity, c.sale.sold, c.sale.limit, flag(closed),
		max(0, c.sale.startsAt.Sub(c.now).Milliseconds()), c.epoch, c.now.UnixMicro(), flag(c.anew), flag(c.lossy),
		int(ttl.Seconds()), c.run, c.found, len(decided) / 2,
	}
	args = append(args, decided...)
	for id, n := range c.buyers {
		args = append(args, store.HashUser(id), n)
	}
	ctx, cancel := context.WithTimeout(ctx, store.RedisTimeout)
	defer cancel()
	if err := resyncScript.Run(ctx, c.cfg.Redis, keys, args...).Err(); err != nil {
		return fmt.Errorf("set counters: %w", err)
	}
	return nil
}

// loading is the key that the buyers are loaded into before the script puts it in its place: what arrives
// late of a Resync that was given up spoils nothing.
func (c *counting) loading() string {
	return fmt.Sprintf("%s:%d", saleKeys(c.sale.id)[2], c.now.UnixMicro())
}

// loadBuyers loads the buyers' pieces where the counters are made anew, in chunks that do not hold up
// Redis. The field loaded shows the script that they are all there.
func (c *counting) loadBuyers(ctx context.Context) error {
	if !c.anew {
		return nil
	}
	load := func(fields []any) error {
		ctx, cancel := context.WithTimeout(ctx, store.RedisTimeout)
		defer cancel()
		pipe := c.cfg.Redis.Pipeline()
		pipe.HSet(ctx, c.loading(), fields...)
		pipe.Expire(ctx, c.loading(), loadingAge)
		_, err := pipe.Exec(ctx)
		return err
	}
	var fields []any
	for id, n := range c.buyers {
		fields = append(fields, store.HashUser(id), n)
	}
	for chunk := range slices.Chunk(fields, 2*buyersChunk) {
		if err := load(chunk); err != nil {
			return fmt.Errorf("load buyers: %w", err)
		}
	}
	if err := load([]any{"loaded", len(c.buyers)}); err != nil {
		return fmt.Errorf("load buyers: %w", err)
	}
	c.buyers = nil
	return nil
}

// finish keeps in Postgres what was counted, and corrects whether the sale is known as sold out.
func (c *counting) finish(ctx context.Context, tx pgx.Tx, news roomNews) error {
	soldOut := c.sale.sold >= c.sale.quantity
	_, err := tx.Exec(ctx, `UPDATE sale SET epoch = $2, redis_run = $3, resynced_at = clock_timestamp(), sold_out = $4 WHERE id = $1`,
		c.sale.id, c.epoch, c.run, soldOut)
	if err != nil {
		return fmt.Errorf("keep epoch: %w", err)
	}
	if soldOut && !c.sale.soldOut && !c.sale.endedAt(c.now) {
		news.add(c.sale.roomID, soldOutEvent(c.sale.id))
	}
	return news.number(ctx, tx)
}

func (c *counting) undecided() []reservation {
	var rest []reservation
	for _, p := range c.pending {
		if _, decided := c.recorded[p.attemptKey]; !decided {
			rest = append(rest, p)
		}
	}
	return rest
}

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// Resync counts a sale's Redis counters anew; see the package's doc. Call it after stock returned
// to the sale.
func (c *Cart) Resync(ctx context.Context, saleID string) error {
	return c.admission.resyncer.resync(ctx, saleID)
}
