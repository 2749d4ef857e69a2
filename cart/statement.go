package cart

import (
	"embed"

	"livecart/session/store"
)

//go:embed sql/statement/*.sql
var statementSQL embed.FS

// StatementFigures are the sales' part of a room's statement, by shop: counts of orders and pieces, and
// money in minor units of each currency. Every figure is a query of its own, sql/statement/<name>.sql,
// whose header says what it means.
var StatementFigures = statementFigures()

func statementFigures() []store.Figure {
	figures := []store.Figure{figure("orders", "orders")}
	for _, s := range []state{awaitingPayment, paid, shipped, completed, expired, cancelled, refundDue, refunded} {
		f := figure("orders_in_state", "orders")
		f.Name, f.Args = "orders_"+string(s), []any{string(s)}
		figures = append(figures, f)
	}
	figures = append(figures, figure("pieces", "pieces"), figure("pieces_refunded", "pieces"))
	for _, name := range []string{
		"gross_sales", "discounts", "unpaid_sales", "paid_sales", "refunds", "refunds_due", "net_sales", "platform_fees", "shop_shares",
		"received", "stray_money", "stray_money_due",
		"reprices", "paid_orders", "refunded_lines",
	} {
		figures = append(figures, figure(name, ""))
	}
	return figures
}

func figure(name, unit string) store.Figure {
	sql, err := statementSQL.ReadFile("sql/statement/" + name + ".sql")
	if err != nil {
		panic(err) // what is embedded was fixed when this was built
	}
	return store.Figure{Name: name, SQL: string(sql), Unit: unit}
}

// StatementBalances are what must be equal in the sales' part of a statement. The two sides are read
// from different tables, so that a row that is wrong shows as a difference.
var StatementBalances = []store.Balance{{
	Name: "orders_by_state", Doc: "Every order is in one state.",
	Left: []string{"orders"},
	Right: []string{
		"orders_awaiting_payment", "orders_paid", "orders_shipped", "orders_completed",
		"orders_expired", "orders_cancelled", "orders_refund_due", "orders_refunded",
	},
}, {
	Name: "sales_gross", Doc: "What the lines are worth was taken off, is unpaid, or was paid.",
	Left: []string{"gross_sales"}, Right: []string{"discounts", "unpaid_sales", "paid_sales"},
}, {
	Name: "sales_discounts", Doc: "The orders' discounts are the sum of their reprices.",
	Left: []string{"discounts"}, Right: []string{"reprices"},
}, {
	Name: "sales_paid", Doc: "The accepted payments are the amounts of the orders that became paid.",
	Left: []string{"paid_sales"}, Right: []string{"paid_orders"},
}, {
	Name: "sales_refunds", Doc: "The refunds are the sum of the lines they are for.",
	Left: []string{"refunds"}, Right: []string{"refunded_lines"},
}, {
	Name: "sales_net", Doc: "What was paid went back or is net.",
	Left: []string{"paid_sales"}, Right: []string{"refunds", "net_sales"},
}, {
	Name: "sales_split", Doc: "What was paid went back, or is the platform's or the shop's.",
	Left: []string{"paid_sales"}, Right: []string{"refunds", "platform_fees", "shop_shares"},
}, {
	Name: "money_received", Doc: "The money that providers told of was accepted, or paid nothing and goes back.",
	Left: []string{"received"}, Right: []string{"paid_sales", "stray_money"},
}}
