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
	invariant("bean_sum_zero", "Beans issued are all in wallets, with hosts or with the platform."),
	invariant("wallet_history", "A wallet's versions have no gap, and its balance is the sum of its lots less its tips, at each of them."),
	invariant("wallet_not_negative", "No wallet is, or ever was, below zero."),
	invariant("tip_legs", "Host's share and fee add up to a tip's beans, which are price times count."),
	invariant("tip_attempt", "Each tip has exactly one attempt of its sender, and each booked attempt its tip."),
	invariant("combo_count", "combo_count is the sum of a combo's gifts."),
	invariant("room_sender_sums", "The sums behind rankings are those of the tips."),
	invariant("topup_credit", "A top-up is paid exactly when one notice of its amount was accepted and one lot credited."),
}

func invariant(name, doc string) store.Invariant {
	sql, err := invariantSQL.ReadFile("sql/invariant/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("gift: invariant %s: %v", name, err)) // a file missing from the build
	}
	return store.Invariant{Name: name, Doc: doc, SQL: string(sql)}
}
