package loadtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// checks compares everything that was told with everything that was done.
func (r *playRun) checks(ctx context.Context) []Check {
	checks := []Check{
		r.visitors.failed.check("all_joined", fmt.Sprintf("%d handshakes", r.meter.Total("offered.join"))),
		r.unknown.check("outcomes_known", "every command has one"),
	}
	if r.back != nil {
		checks = append(checks, r.checkCameBack())
	} else {
		checks = append(checks, r.visitors.lost.check("visitors_stayed", "no connection was lost of those who came and went"), r.checkStayed())
	}
	unknown := ""
	if n := r.unknown.count(); n > 0 {
		unknown = fmt.Sprintf("%d commands have no known outcome", n)
	}
	add := func(name string, happened bool, check func() Check) {
		switch {
		case !happened:
			checks = append(checks, Check{Name: name, Skipped: nothingHappened})
		case unknown != "":
			checks = append(checks, Check{Name: name, Skipped: unknown})
		default:
			checks = append(checks, check())
		}
	}
	add("commands_accepted", len(r.sentKinds()) > 0, r.checkAccepted)
	add("comments_accounted", len(r.comments) > 0, r.checkComments)
	add("likes_exact", r.likes.Load() > 0, r.checkLikes)
	add("tips_told_once", len(r.tips) > 0, r.checkTips)
	add("balances_add_up", len(r.tips) > 0, func() Check { return r.checkBalances(ctx) })
	add("one_key_one_outcome", len(r.tips)+len(r.attempts) > 0, r.checkOutcomes)
	if r.Plan.Pieces > 0 {
		add("sale_sold_exactly", true, r.checkSale)
		add("nobody_served_early", true, r.checkEarly)
		add("orders_found_by_key", true, func() Check { return r.checkOwnOrders(ctx) })
	}
	add("host_told_once", len(r.done) > 0, r.checkHost)
	numbered := r.reached > r.watchers[0].history.welcomed()
	add("events_gapless", numbered, func() Check { return r.checkNumbered(r.reached) })
	add("visitors_gapless", numbered && r.meter.Total("offered.join") > 0, func() Check {
		return r.visitors.gaps.check("visitors_gapless", "those who came and went missed no numbered event while they were there")
	})
	add("resumed_gapless", r.visitors.resumed.count() > 0, func() Check {
		return r.visitors.forgotten.check("resumed_gapless", fmt.Sprintf("%d stays were resumed, %d numbered events had been missed and came", r.visitors.resumed.count(), r.visitors.caughtUp.Load()))
	})
	checks = append(checks, r.checkViewers(), r.checkVisits())
	return append(checks, r.checkRecords(ctx)...)
}

// Why a check is left out.
const noDatabase, nothingHappened = "no database is given", "nothing of it happened"

// mayBeRefused are the kinds of arrivals that a server may refuse at times, but not always, with their commands.
var mayBeRefused = []struct {
	kind    Kind
	command string
}{{KindComment, "chat_send"}, {KindLike, "like_send"}, {KindGift, "gift_send"}}

// sentKinds tells of each kind of which something was sent how much that was.
func (r *playRun) sentKinds() (sent []string) {
	for _, k := range mayBeRefused {
		if n := r.meter.Total("sent." + k.kind.String()); n > 0 {
			sent = append(sent, fmt.Sprintf("%d of %d %s", r.meter.Total("ok."+k.command), n, k.command))
		}
	}
	return sent
}

// checkAccepted holds that of each kind something was carried out: where all of it is refused, the checks of what
// came of it have nothing to look at.
func (r *playRun) checkAccepted() Check {
	var bad []string
	for _, k := range mayBeRefused {
		if n := r.meter.Total("sent." + k.kind.String()); n > 0 && r.meter.Total("ok."+k.command) == 0 {
			bad = append(bad, fmt.Sprintf("none of %d %s was carried out", n, k.command))
		}
	}
	return verdict("commands_accepted", bad, "carried out: %s", strings.Join(r.sentKinds(), ", "))
}

// readTips compares the tips with those in Postgres.
func (r *playRun) readTips(ctx context.Context, name string) Check {
	var rows []tipRow
	err := readDatabase(ctx, r.Target.DatabaseURL, func(tx pgx.Tx) (err error) {
		rows, err = readTips(ctx, tx, r.senders())
		return err
	})
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
	}
	return r.checkTipRows(name, rows)
}

// readOrders compares the orders with those in Postgres.
func (r *playRun) readOrders(ctx context.Context, name string) Check {
	var rows []orderRow
	var sold int64
	err := readDatabase(ctx, r.Target.DatabaseURL, func(tx pgx.Tx) (err error) {
		rows, sold, err = readOrders(ctx, tx, r.sale.Id)
		return err
	})
	if err != nil {
		return Check{Name: name, Detail: err.Error()}
	}
	return r.checkOrderRows(name, rows, sold)
}

// checkRecords compares the gifts with Postgres, where it may be read.
func (r *playRun) checkRecords(ctx context.Context) []Check {
	const orders, tips, audit = "orders_recorded_once", "tips_recorded_once", "audit"
	type kind struct {
		name     string
		happened bool
		check    func() Check
	}
	kinds := []kind{{tips, len(r.tips) > 0, func() Check { return r.readTips(ctx, tips) }}}
	if r.Plan.Pieces > 0 {
		kinds = append(kinds, kind{orders, true, func() Check { return r.readOrders(ctx, orders) }})
	}
	var checks []Check
	for _, k := range kinds {
		switch n := r.unknown.count(); {
		case r.Target.DatabaseURL == "":
			checks = append(checks, Check{Name: k.name, Skipped: noDatabase})
		case !k.happened:
			checks = append(checks, Check{Name: k.name, Skipped: nothingHappened})
		case n > 0:
			checks = append(checks, Check{Name: k.name, Skipped: fmt.Sprintf("%d commands have no known outcome", n)})
		default:
			checks = append(checks, k.check())
		}
	}
	if r.Target.DatabaseURL == "" {
		return append(checks, Check{Name: audit, Skipped: noDatabase})
	}
	return append(checks, r.checkAudit(ctx))
}

// checkEarly holds that no order was made before the sale's start, both by the server's clock.
func (r *playRun) checkEarly() Check {
	var bad []string
	for _, a := range r.attempts {
		if a.orderID != "" && a.created < r.sale.StartsAtMs {
			bad = append(bad, fmt.Sprintf("order %s of %s is of %d ms before the start", a.orderID, a.buyer.id, r.sale.StartsAtMs-a.created))
		}
	}
	return verdict("nobody_served_early", bad, "%d attempts, %d of them before the start", len(r.attempts), r.meter.Total("sent.bot_attempt"))
}
