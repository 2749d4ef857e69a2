package loadtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checks compares everything that was told with everything that was done.
func (r *playRun) checks(ctx context.Context) []Check {
	checks := []Check{
		r.visitors.failed.check("all_joined", fmt.Sprintf("%d handshakes", r.meter.Total("offered.join"))),
		r.visitors.lost.check("visitors_stayed", "no connection was lost of those who came and went"),
		r.checkStayed(),
		r.unknown.check("outcomes_known", "every command has one"),
	}
	unknown := ""
	if n := r.unknown.count(); n > 0 {
		unknown = fmt.Sprintf("%d commands have no known outcome", n)
	}
	add := func(name string, happened bool, check func() Check) {
		switch {
		case !happened:
			checks = append(checks, Check{Name: name, Skipped: "nothing of it happened"})
		case unknown != "":
			checks = append(checks, Check{Name: name, Skipped: unknown})
		default:
			checks = append(checks, check())
		}
	}
	add("comments_accounted", len(r.comments) > 0, r.checkComments)
	add("likes_exact", r.likes.Load() > 0, r.checkLikes)
	add("tips_told_once", len(r.tips) > 0, r.checkTips)
	add("balances_add_up", len(r.tips) > 0, func() Check { return r.checkBalances(ctx) })
	if r.head() > r.watchers[0].history.welcomed() {
		checks = append(checks, r.checkNumbered(), r.visitors.gaps.check("visitors_gapless", "those who came and went missed no numbered event while they were there"))
	}
	return append(checks, r.checkRecords(ctx)...)
}

// checkRecords compares the gifts with Postgres, where it may be read.
func (r *playRun) checkRecords(ctx context.Context) []Check {
	const tips, audit = "tips_recorded_once", "audit"
	if r.Target.DatabaseURL == "" {
		const why = "no database is given"
		return []Check{{Name: tips, Skipped: why}, {Name: audit, Skipped: why}}
	}
	var checks []Check
	if len(r.tips) > 0 && r.unknown.count() == 0 {
		var rows []tipRow
		err := readDatabase(ctx, r.Target.DatabaseURL, func(tx pgx.Tx) (err error) {
			rows, err = readTips(ctx, tx, r.senders())
			return err
		})
		if err != nil {
			checks = append(checks, Check{Name: tips, Detail: err.Error()})
		} else {
			checks = append(checks, r.checkTipRows(tips, rows))
		}
	}
	return append(checks, r.checkAudit(ctx))
}
