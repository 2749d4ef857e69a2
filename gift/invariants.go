package gift

import (
	"embed"
	"fmt"

	"livecart/session/store"
)

//go:embed sql/invariant/*.sql
var invariantSQL embed.FS

// Invariants are what always holds of beans and tips.
var Invariants = []store.Invariant{
	invariant("bean_sum_zero", "Beans issued and not refunded are all in wallets, with hosts or with the platform."),
	invariant("wallet_history", "A wallet's versions have no gap, and its balance is the sum of its lots and reversals less its tips and refunds, at each of them."),
	invariant("wallet_not_negative", "No wallet is, or ever was, below zero."),
	invariant("tip_legs", "Host's share and fee add up to a tip's beans, which are price times count."),
	invariant("tip_attempt", "Each tip has exactly one attempt of its sender, and each booked attempt its tip."),
	invariant("combo_count", "combo_count is the sum of a combo's gifts."),
	invariant("tip_reversal", "A reversal is the opposite of one tip, which has no other."),
	invariant("room_sender_sums", "The sums behind rankings are those of the tips that are not reversed."),
	invariant("topup_credit", "A top-up is paid exactly when one notice of its amount was accepted and one lot credited."),
	invariant("lot_refund", "Refunds of a lot are of beans that were paid for, at most all of them, and add up to their part of its price, rounded down."),
	invariant("topup_refund", "Money of top-ups goes back for the refund of a lot or for a notice that credited nothing, each once."),
	invariant("settlement_entries", "A settlement is of its host's tips and reversals before its time, each taken once, and has their sum."),
	invariant("host_balance", "A host's settlements are numbered without gaps, pay the debt before them first, and leave a balance of what is not settled."),
}

func invariant(name, doc string) store.Invariant {
	sql, err := invariantSQL.ReadFile("sql/invariant/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("gift: invariant %s: %v", name, err)) // a file missing from the build
	}
	return store.Invariant{Name: name, Doc: doc, SQL: string(sql)}
}
