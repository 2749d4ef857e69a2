package loadtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// database makes one with the room "demo" and returns its URL and a connection that may write.
func database(t *testing.T) (string, *pgx.Conn) {
	t.Helper()
	url := stacktest.Postgres(t, store.Migrate)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	put(t, conn, `INSERT INTO room (id, title, host_id, host_name) VALUES ('demo', 'Demo', 'hana', 'Hana')`)
	return url, conn
}

func put(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// putPlayed writes what a run that went well leaves behind, without what its rows refer to.
func putPlayed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	put(t, conn, `SET session_replication_role = replica`)
	put(t, conn, `INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, sold, starts_at, ends_at)
		VALUES ('s', 'demo', 'x', 'x', 'x', 'x', 'x', '', 'CNY', 1, 2, 2, 2, now(), now() + interval '10 min')`)
	put(t, conn, `INSERT INTO orders (id, shop_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, expires_at) VALUES
		('o1', 'x', 's', 'ann', 'Ann', 'k1', 'paid', 'CNY', 1, now()), ('o2', 'x', 's', 'bob', 'Bob', 'k2', 'awaiting_payment', 'CNY', 1, now()),
		('o3', 'x', NULL, 'ann', 'Ann', 'k9', 'paid', 'CNY', 1, now())`)
	put(t, conn, `INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price) VALUES
		('o1', 1, 'x', 'x', 'x', '', 1, 1), ('o2', 1, 'x', 'x', 'x', '', 1, 1), ('o3', 1, 'x', 'x', 'x', '', 5, 1)`)
	put(t, conn, `INSERT INTO tip (id, room_id, host_id, sender_id, sender_name, sender_role, gift_id, tier, count, price, beans, host_ppm, host_beans, fee_beans, combo_count, balance, version, at) VALUES
		('t1', 'demo', 'hana', 'gina', 'Gina', 1, 'rose', 1, 1, 3, 3, 500000, 1, 2, 1, 697, 1, now()),
		('t7', 'demo', 'hana', 'somebody else', 'S', 1, 'rose', 1, 1, 3, 3, 500000, 1, 2, 1, 694, 2, now())`)
	put(t, conn, `SET session_replication_role = DEFAULT`)
}

func TestRecordsAreRead(t *testing.T) {
	url, conn := database(t)
	putPlayed(t, conn)
	r := played()
	r.Target.DatabaseURL = url
	r.Audit = func(context.Context) ([]string, error) { return nil, nil }
	for _, c := range r.checkDatabase(t.Context()) {
		if !c.OK || c.Skipped != "" {
			t.Errorf("%+v", c)
		}
	}
	put(t, conn, `UPDATE orders SET sale_id = 's' WHERE id = 'o3'`)
	put(t, conn, `UPDATE tip SET sender_id = 'gina' WHERE id = 't7'`)
	r.Audit = func(context.Context) ([]string, error) {
		return []string{"entries_balance: 1"}, errors.New("and gave up")
	}
	want := map[string]string{
		"orders_recorded_once": "oversold: 7 pieces are ordered", "tips_recorded_once": "tip t7 of gina was acknowledged to nobody",
		"audit": "entries_balance: 1; and gave up",
	}
	for _, c := range r.checkDatabase(t.Context()) {
		if c.OK || c.Skipped != "" || !strings.Contains(c.Detail, want[c.Name]) {
			t.Errorf("%+v", c)
		}
	}
}

func TestRecordsCannotBeRead(t *testing.T) {
	url, conn := database(t)
	r := played()
	checks := func() string {
		var out []string
		for _, c := range r.checkDatabase(t.Context()) {
			out = append(out, fmt.Sprintf("%s %v %s", c.Name, c.OK, c.Skipped))
		}
		return strings.Join(out, "; ")
	}
	if got := checks(); got != "orders_recorded_once false no database is given; tips_recorded_once false no database is given; audit false no database is given" {
		t.Errorf("without: %s", got)
	}
	const failed = "orders_recorded_once false ; tips_recorded_once false ; audit false not asked for"
	r.Target.DatabaseURL = url
	if got := checks(); got != failed { // there is no such sale
		t.Errorf("without the sale: %s", got)
	}
	putPlayed(t, conn)
	put(t, conn, `DROP TABLE tip CASCADE`)
	if got := checks(); got != failed {
		t.Errorf("without tips: %s", got)
	}
	r.Target.DatabaseURL = "postgres://127.0.0.1:1/x"
	if got := checks(); got != failed {
		t.Errorf("without a server: %s", got)
	}
}

func TestDatabaseIsOnlyRead(t *testing.T) {
	url, _ := database(t)
	for _, sql := range []string{`UPDATE room SET title = 'x'`, `CREATE TABLE x ()`} {
		err := readDatabase(t.Context(), url, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), sql)
			return err
		})
		if err == nil {
			t.Errorf("%s went through", sql)
		}
	}
}

func TestProbeDatabase(t *testing.T) {
	url, conn := database(t)
	target := Target{Room: "demo", DatabaseURL: url}
	if err := probeDatabase(t.Context(), target); err != nil {
		t.Error(err)
	}
	target.Room = "other"
	if err := probeDatabase(t.Context(), target); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `knows no room "other"`) {
		t.Errorf("%v", err)
	}
	put(t, conn, `DROP TABLE room CASCADE`)
	if err := probeDatabase(t.Context(), target); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("%v", err)
	}
	if err := probeDatabase(t.Context(), Target{Room: "demo"}); err != nil {
		t.Errorf("without a database: %v", err)
	}
}
