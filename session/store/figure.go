package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Figure is one line of a room's statement, as a query.
type Figure struct {
	Name string
	// SQL returns rows of owner (a shop or a host), unit (a currency, or what is counted) and amount,
	// bigint; of one owner and unit at most one. $1 is the room, Args are $2 and on. Its header says what
	// the figure means.
	SQL  string
	Args []any
	// Unit is what the figure counts ("orders", "beans"), empty for money, which has its currency's.
	Unit string
}

// Amount is what a figure came to for one owner, in one unit. Amounts of unlike units are never added.
type Amount struct {
	Figure string
	Owner  string
	Unit   string
	Value  int64
}

// Balance is what must be equal in a statement: two sums of figures, of each owner and unit.
type Balance struct {
	Name string
	// Doc says in a sentence what is equal to what.
	Doc         string
	Left, Right []string
}

// Weighed is a balance with its sums. Difference is LeftSum - RightSum and must be 0.
type Weighed struct {
	Balance
	Owner, Unit                   string
	LeftSum, RightSum, Difference int64
}

// ErrOverflow says that a sum of a statement does not fit 64 bits.
var ErrOverflow = errors.New("a sum does not fit 64 bits")

// ReadFigures reads the figures of a room, in their order. A figure may leave out owners that have none
// of it; Complete puts them in.
func ReadFigures(ctx context.Context, tx pgx.Tx, figures []Figure, roomID string) ([]Amount, error) {
	var amounts []Amount
	for _, f := range figures {
		rows, err := tx.Query(ctx, f.SQL, append([]any{roomID}, f.Args...)...)
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", f.Name, err)
		}
		read, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Amount, error) {
			a := Amount{Figure: f.Name}
			return a, row.Scan(&a.Owner, &a.Unit, &a.Value)
		})
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", f.Name, err)
		}
		amounts = append(amounts, read...)
	}
	return amounts, nil
}

// Complete gives every owner every figure, 0 where it has none: money in each of the owner's currencies,
// those named here and those it has amounts in. The order is that of the figures, then owners, then units.
func Complete(figures []Figure, amounts []Amount, currencies map[string][]string) []Amount {
	type at struct{ figure, owner, unit string }
	values := make(map[at]int64, len(amounts))
	money := map[string]bool{}
	for _, f := range figures {
		money[f.Name] = f.Unit == ""
	}
	units := map[string]map[string]bool{}
	note := func(owner string, currency ...string) {
		if units[owner] == nil {
			units[owner] = map[string]bool{}
		}
		for _, c := range currency {
			units[owner][c] = true
		}
	}
	for owner, list := range currencies {
		note(owner, list...)
	}
	for _, a := range amounts {
		values[at{a.Figure, a.Owner, a.Unit}] = a.Value
		if note(a.Owner); money[a.Figure] {
			note(a.Owner, a.Unit)
		}
	}
	var all []Amount
	for _, f := range figures {
		for _, owner := range slices.Sorted(maps.Keys(units)) {
			of := []string{f.Unit}
			if f.Unit == "" {
				of = slices.Sorted(maps.Keys(units[owner]))
			}
			for _, unit := range of {
				all = append(all, Amount{f.Name, owner, unit, values[at{f.Name, owner, unit}]})
			}
		}
	}
	return all
}

// Total adds up the amounts of all owners: the statement of the room, its owners left empty.
func Total(amounts []Amount) ([]Amount, error) {
	var sums []Amount
	for _, a := range amounts {
		i := slices.IndexFunc(sums, func(s Amount) bool { return s.Figure == a.Figure && s.Unit == a.Unit })
		if i < 0 {
			sums = append(sums, Amount{Figure: a.Figure, Unit: a.Unit, Value: a.Value})
			continue
		}
		sum, err := add(sums[i].Value, a.Value)
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", a.Figure, err)
		}
		sums[i].Value = sum
	}
	return sums, nil
}

// Weigh works out every balance for each owner and unit that one of its figures has an amount in. An
// amount that is not there is 0.
func Weigh(balances []Balance, amounts []Amount) ([]Weighed, error) {
	type pan struct{ owner, unit string }
	var weighed []Weighed
	for _, b := range balances {
		sums := map[pan]*Weighed{}
		var order []pan
		for _, a := range amounts {
			left, right := slices.Contains(b.Left, a.Figure), slices.Contains(b.Right, a.Figure)
			if !left && !right {
				continue
			}
			at := pan{a.Owner, a.Unit}
			w := sums[at]
			if w == nil {
				w = &Weighed{Balance: b, Owner: a.Owner, Unit: a.Unit}
				sums[at] = w
				order = append(order, at)
			}
			side := &w.LeftSum
			if right {
				side = &w.RightSum
			}
			sum, err := add(*side, a.Value)
			if err != nil {
				return nil, fmt.Errorf("balance %s: %w", b.Name, err)
			}
			*side = sum
		}
		for _, at := range order {
			w := sums[at]
			var err error
			if w.Difference, err = add(w.LeftSum, -w.RightSum); err != nil {
				return nil, fmt.Errorf("balance %s: %w", b.Name, err)
			}
			weighed = append(weighed, *w)
		}
	}
	return weighed, nil
}

func add(a, b int64) (int64, error) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, ErrOverflow
	}
	return a + b, nil
}
