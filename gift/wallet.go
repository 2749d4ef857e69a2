package gift

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// MaxGrant is how many beans one Grant gives at most.
const MaxGrant = 1_000_000_000

// Wallet returns a user's beans; who never had any has 0 at version 0.
func (g *Gifts) Wallet(ctx context.Context, userID string) (*proto.WalletBalance, error) {
	w := new(proto.WalletBalance)
	if !storable(userID) {
		return w, nil
	}
	err := g.pool.QueryRow(ctx, `SELECT balance, version FROM wallet WHERE user_id = $1`, userID).Scan(&w.Balance, &w.Version)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return w, nil
}

// Self sets balance and version of each user, whatever the room.
func (g *Gifts) Self(ctx context.Context, tx pgx.Tx, _ string, selves map[string]*proto.SessionSelf) error {
	ids := slices.DeleteFunc(slices.Collect(maps.Keys(selves)), func(id string) bool { return !storable(id) })
	rows, err := tx.Query(ctx, `SELECT user_id, balance, version FROM wallet WHERE user_id = ANY ($1)`, ids)
	if err != nil {
		return fmt.Errorf("wallets: %w", err)
	}
	var id string
	var w account
	_, err = pgx.ForEachRow(rows, []any{&id, &w.balance, &w.version}, func() error {
		selves[id].Balance, selves[id].BalanceVersion = w.balance, w.version
		return nil
	})
	if err != nil {
		return fmt.Errorf("wallets: %w", err)
	}
	return nil
}

// Grant gives a user beans (1 to MaxGrant) that no money stands for. The same key gives once; with
// another number of beans it is [ErrTopUpConflict].
func (g *Gifts) Grant(ctx context.Context, userID, key string, beans int64) error {
	if userID == "" || len(userID) > maxUser || !storable(userID) || key == "" || !storable(key) {
		return invalid("a grant needs a user and a key")
	}
	if beans < 1 || beans > MaxGrant {
		return invalid("a grant has 1 to %d beans", int64(MaxGrant))
	}
	var c credit
	err := store.InTx(ctx, g.pool, func(tx pgx.Tx) (err error) {
		c, err = addLot(ctx, tx, lot{userID: userID, kind: "grant", key: key, beans: beans})
		return err
	})
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	if c.beans != beans {
		return ErrTopUpConflict
	}
	g.cfg.announce(userID, c)
	return nil
}

// lot is a number of beans that come into a wallet together, with the money they came for.
type lot struct {
	userID, kind, key string
	beans, amount     int64
	currency          string
}

// credit is what a lot did to its wallet.
type credit struct {
	beans, balance, version int64
	at                      time.Time
	isNew                   bool
}

// addLot credits a lot once and returns what it did, now or when its key was first used. The
// wallet's lock keeps two of the same key apart.
func addLot(ctx context.Context, tx pgx.Tx, l lot) (credit, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO wallet (user_id) VALUES ($1) ON CONFLICT DO NOTHING`, l.userID); err != nil {
		return credit{}, fmt.Errorf("open wallet: %w", err)
	}
	if _, err := lockWallet(ctx, tx, l.userID); err != nil {
		return credit{}, err
	}
	var c credit
	err := tx.QueryRow(ctx, `SELECT beans, balance, version, at FROM bean_lot WHERE user_id = $1 AND kind = $2 AND key = $3`,
		l.userID, l.kind, l.key).Scan(&c.beans, &c.balance, &c.version, &c.at)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return credit{}, fmt.Errorf("read lot: %w", err)
	}
	c = credit{beans: l.beans, isNew: true}
	if c.balance, c.version, c.at, err = moveBeans(ctx, tx, l.userID, l.beans); err != nil {
		return credit{}, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO bean_lot (id, user_id, kind, key, beans, amount, currency, balance, version, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		store.NewID("lot"), l.userID, l.kind, l.key, l.beans, l.amount, l.currency, c.balance, c.version, c.at)
	if err != nil {
		return credit{}, fmt.Errorf("add lot: %w", err)
	}
	return c, nil
}

// lockWallet locks the wallet of a user who has one.
func lockWallet(ctx context.Context, tx pgx.Tx, userID string) (w account, err error) {
	err = tx.QueryRow(ctx, `SELECT balance, version FROM wallet WHERE user_id = $1 FOR UPDATE`, userID).Scan(&w.balance, &w.version)
	if err != nil {
		return w, fmt.Errorf("lock wallet: %w", err)
	}
	return w, nil
}

// moveBeans adds beans, which may be negative, to a wallet that this transaction has locked, and
// returns the wallet after it and the time.
func moveBeans(ctx context.Context, tx pgx.Tx, userID string, beans int64) (balance, version int64, at time.Time, err error) {
	err = tx.QueryRow(ctx, `UPDATE wallet SET balance = balance + $2, version = version + 1 WHERE user_id = $1
		RETURNING balance, version, clock_timestamp()`, userID, beans).Scan(&balance, &version, &at)
	if err != nil {
		return 0, 0, at, fmt.Errorf("move beans: %w", err)
	}
	return balance, version, at, nil
}

// announce tells a user's connections about a committed change of their wallet. A lost one heals when
// they next read their balance.
func (cfg *Config) announce(userID string, c credit) {
	if !c.isNew {
		return
	}
	err := cfg.Bus.PublishPrivate(balanceEvent(userID, c.at, &proto.WalletBalance{Balance: c.balance, Version: c.version}))
	if err != nil {
		cfg.Log.Warn("announce balance", "err", err)
	}
}
