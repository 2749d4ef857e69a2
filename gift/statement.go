package gift

import (
	"embed"
	"strings"

	"livecart/session/store"
)

//go:embed sql/statement/*.sql
var statementSQL embed.FS

// StatementFigures are the tips' part of a room's statement, by host: counts of tips, and beans. Every
// figure is a query of its own, sql/statement/<name>.sql, whose header says what it means.
var StatementFigures = statementFigures()

func statementFigures() (figures []store.Figure) {
	for _, name := range []string{
		"tips", "tips_reversed", "tip_beans", "reversed_beans", "host_share", "platform_share",
		"tips_confirmed", "tip_host_beans", "tip_fee_beans", "reversed_tip_beans", "wallet_debits", "wallet_credits",
	} {
		sql, err := statementSQL.ReadFile("sql/statement/" + name + ".sql")
		if err != nil {
			panic(err) // what is embedded was fixed when this was built
		}
		unit := "beans"
		if strings.HasPrefix(name, "tips") {
			unit = "tips"
		}
		figures = append(figures, store.Figure{Name: name, SQL: string(sql), Unit: unit})
	}
	return figures
}

// StatementBalances are what must be equal in the tips' part of a statement. The two sides are read
// from different columns or tables, so that a row that is wrong shows as a difference.
var StatementBalances = []store.Balance{{
	Name: "tips_confirmed", Doc: "Every tip answers one request.",
	Left: []string{"tips"}, Right: []string{"tips_confirmed"},
}, {
	Name: "tip_legs", Doc: "The beans of tips are the hosts' legs and the platform's.",
	Left: []string{"tip_beans"}, Right: []string{"tip_host_beans", "tip_fee_beans"},
}, {
	Name: "tip_wallets", Doc: "The beans of tips are what left their senders' wallets.",
	Left: []string{"tip_beans"}, Right: []string{"wallet_debits"},
}, {
	Name: "reversals", Doc: "The reversals are of the whole of their tips.",
	Left: []string{"reversed_beans"}, Right: []string{"reversed_tip_beans"},
}, {
	Name: "reversal_wallets", Doc: "The beans of reversals are what came back to their senders' wallets.",
	Left: []string{"reversed_beans"}, Right: []string{"wallet_credits"},
}, {
	Name: "tips_split", Doc: "The beans of tips went back, or are the host's or the platform's.",
	Left: []string{"tip_beans"}, Right: []string{"reversed_beans", "host_share", "platform_share"},
}}
