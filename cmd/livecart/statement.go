package main

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/cart"
	"livecart/gift"
	"livecart/proto"
	"livecart/session/store"
)

// Scopes of a statement's lines.
const (
	scopeRoom = "room"
	scopeShop = "shop"
	scopeHost = "host"
)

// statement is a room's account of its sales and tips, as of one moment.
type statement struct {
	RoomID      string `json:"room_id"`
	Title       string `json:"title"`
	Phase       string `json:"phase"`
	ShopID      string `json:"shop_id"`
	HostID      string `json:"host_id"`
	HostName    string `json:"host_name"`
	StartedAtMs int64  `json:"started_at_ms,string"`
	EndedAtMs   int64  `json:"ended_at_ms,string"`
	AsOfMs      int64  `json:"as_of_ms,string"`
	// Final says that nothing will come any more of itself: the room has ended and its sales are closed, no
	// order awaits its payment, and no money is due to go back. Later refunds and reversals still change it,
	// and so do orders that are made from the room's shelf after its end and payments that come too late.
	Final bool `json:"final"`
	// Balanced says that every difference is 0.
	Balanced bool              `json:"balanced"`
	Figures  []statementFigure `json:"figures"`
	Balances []statementWeight `json:"balances"`

	selling bool // a flash sale of the room is open; its end comes a little after the room's
}

// owner is whose a line is: the room as a whole, a shop's part, or a host's.
type owner struct {
	Scope  string `json:"scope"`
	ShopID string `json:"shop_id,omitempty"`
	HostID string `json:"host_id,omitempty"`
}

// statementFigure is one amount. Unit is a currency, whose minor units are counted, or what is counted:
// "orders", "pieces", "tips", "beans".
type statementFigure struct {
	owner
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Amount int64  `json:"amount,string"`
}

// statementWeight is one balance: what must be equal, and by how much it is not.
type statementWeight struct {
	owner
	Name       string   `json:"name"`
	Doc        string   `json:"doc"`
	Unit       string   `json:"unit"`
	Left       []string `json:"left"`
	Right      []string `json:"right"`
	LeftSum    int64    `json:"left_sum,string"`
	RightSum   int64    `json:"right_sum,string"`
	Difference int64    `json:"difference,string"`
}

// ledgers are the two parts of a statement, each with its kind of owner.
var ledgers = []struct {
	figures  []store.Figure
	balances []store.Balance
	owner    func(id string) owner
}{
	{cart.StatementFigures, cart.StatementBalances, func(id string) owner { return owner{Scope: scopeShop, ShopID: id} }},
	{gift.StatementFigures, gift.StatementBalances, func(id string) owner { return owner{Scope: scopeHost, HostID: id} }},
}

// readStatement reads a room's whole statement at one moment of the database.
func (p *parts) readStatement(ctx context.Context, roomID string) (*statement, error) {
	s := new(statement)
	err := store.InSnapshot(ctx, p.pool, func(tx pgx.Tx) error {
		var asOf time.Time
		// The first statement fixes the moment.
		if err := tx.QueryRow(ctx, `SELECT statement_timestamp()`).Scan(&asOf); err != nil {
			return err
		}
		room, err := p.rooms.RoomIn(ctx, tx, roomID)
		if err != nil {
			return err
		}
		*s = newStatement(room, asOf)
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sale WHERE room_id = $1 AND closed_at IS NULL)`, roomID).Scan(&s.selling); err != nil {
			return err
		}
		known, err := s.owners(ctx, tx)
		if err != nil {
			return err
		}
		for i, l := range ledgers {
			amounts, err := store.ReadFigures(ctx, tx, l.figures, roomID)
			if err != nil {
				return err
			}
			if err := s.add(store.Complete(l.figures, amounts, known[i]), l.balances, l.owner); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.judge()
	return s, nil
}

func newStatement(room *proto.Room, asOf time.Time) statement {
	return statement{
		RoomID: room.Id, Title: room.Title, Phase: room.Phase.String(), ShopID: room.ShopId, HostID: room.Host.GetId(), HostName: room.Host.GetName(),
		StartedAtMs: room.StartedAtMs, EndedAtMs: room.EndedAtMs, AsOfMs: asOf.UnixMilli(),
		Figures: []statementFigure{}, Balances: []statementWeight{},
	}
}

// owners are those that have a part in the statement even when nothing happened, for each ledger: the
// room's shop, with its currency, and the room's host.
func (s *statement) owners(ctx context.Context, tx pgx.Tx) ([]map[string][]string, error) {
	shops := map[string][]string{}
	if s.ShopID != "" {
		var currency string
		if err := tx.QueryRow(ctx, `SELECT currency FROM shop WHERE id = $1`, s.ShopID).Scan(&currency); err != nil {
			return nil, err
		}
		shops[s.ShopID] = []string{currency}
	}
	return []map[string][]string{shops, {s.HostID: nil}}, nil
}

// add adds one ledger's lines: the room's, then each owner's.
func (s *statement) add(amounts []store.Amount, balances []store.Balance, of func(id string) owner) error {
	total, err := store.Total(amounts)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		amounts []store.Amount
		of      func(string) owner
	}{
		{total, func(string) owner { return owner{Scope: scopeRoom} }},
		{amounts, of},
	} {
		for _, a := range part.amounts {
			s.Figures = append(s.Figures, statementFigure{part.of(a.Owner), a.Figure, a.Unit, a.Value})
		}
		weighed, err := store.Weigh(balances, part.amounts)
		if err != nil {
			return err
		}
		for _, w := range weighed {
			s.Balances = append(s.Balances, statementWeight{
				owner: part.of(w.Owner), Name: w.Name, Doc: w.Doc, Unit: w.Unit,
				Left: w.Balance.Left, Right: w.Balance.Right, LeftSum: w.LeftSum, RightSum: w.RightSum, Difference: w.Difference,
			})
		}
	}
	return nil
}

// judge sets Final and Balanced.
func (s *statement) judge() {
	s.Balanced = !slices.ContainsFunc(s.Balances, func(b statementWeight) bool { return b.Difference != 0 })
	s.Final = s.Phase == proto.RoomPhase_ROOM_PHASE_ENDED.String() && !s.selling && !slices.ContainsFunc(s.Figures, func(f statementFigure) bool {
		switch f.Name {
		case "orders_awaiting_payment", "orders_refund_due", "refunds_due", "stray_money_due":
			return f.Amount != 0
		}
		return false
	})
}

// ofShop leaves of the statement what concerns one shop.
func (s *statement) ofShop(shopID string) {
	other := func(o owner) bool { return o.Scope != scopeShop || o.ShopID != shopID }
	s.Figures = slices.DeleteFunc(s.Figures, func(f statementFigure) bool { return other(f.owner) })
	s.Balances = slices.DeleteFunc(s.Balances, func(b statementWeight) bool { return other(b.owner) })
	s.judge()
}
