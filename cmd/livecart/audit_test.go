package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"

	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.jsonl")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const confirmed = `{"client":"ann","key":"k1","kind":"flash_buy","sale_id":"s","quantity":1,"sent_ms":5,"answered_ms":6,"outcome":"ok","order_id":"o1"}` + "\n"

const refusedThenOrdered = `{"client":"ann","key":"k1","kind":"flash_buy","sale_id":"s","quantity":1,"sent_ms":5,"answered_ms":6,"outcome":"sold_out"}` + "\n" + confirmed

// putSale writes a sale that ann bought a piece of.
func putSale(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `
		INSERT INTO room (id, title, host_id, host_name) VALUES ('demo', 'Demo', 'hana', 'Hana');
		INSERT INTO shop (id, name, currency) VALUES ('x', 'X', 'CNY');
		INSERT INTO sku (id, shop_id, stock, moved) VALUES ('k', 'x', 1, 1);
		INSERT INTO product (id, shop_id, title) VALUES ('p', 'x', 'P');
		INSERT INTO listing (id, product_id, sku_id, price) VALUES ('l', 'p', 'k', 2);
		INSERT INTO sale (id, room_id, shop_id, product_id, listing_id, sku_id, title, image_url, currency, price, original_price, quantity, sold, starts_at, ends_at)
			VALUES ('s', 'demo', 'x', 'p', 'l', 'k', 'P', '', 'CNY', 1, 2, 1, 1, now() - interval '1 min', now() + interval '1 min');
		INSERT INTO orders (id, shop_id, room_id, sale_id, buyer_id, buyer_name, request_id, state, currency, amount, expires_at)
			VALUES ('o1', 'x', 'demo', 's', 'ann', 'Ann', 'k1', 'awaiting_payment', 'CNY', 1, now());
		INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price) VALUES ('o1', 1, 'l', 'k', 'P', '', 1, 1);
		INSERT INTO order_event (order_id, n, from_state, to_state, cause) VALUES ('o1', 1, '', 'awaiting_payment', 'flash_buy');
		INSERT INTO attempt (buyer_id, key, kind, hash, sale_id, quantity, outcome, order_id) VALUES ('ann', 'k1', 'flash_buy', '', 's', 1, 'ordered', 'o1')`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestAuditOfAHistory(t *testing.T) {
	url := stacktest.Postgres(t, store.Migrate)
	putSale(t, url)
	for name, tt := range map[string]struct {
		file      string
		redisLost bool
		red       []string
	}{
		"holds":                   {confirmed, false, nil},
		"an order is missing":     {strings.ReplaceAll(confirmed, "ann", "bob"), false, []string{"history_order_recorded"}},
		"sold out, then ordered":  {refusedThenOrdered, false, []string{"history_one_outcome", "history_refused_left_nothing"}},
		"with a loss of Redis":    {refusedThenOrdered, true, nil},
		"a loss does not explain": {strings.ReplaceAll(confirmed, "o1", "o2"), true, []string{"history_one_outcome", "history_order_recorded"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := auditCommand{History: []string{writeFile(t, tt.file)}, RedisLost: tt.redisLost}
			histories, err := c.readHistory()
			if err != nil {
				t.Fatal(err)
			}
			report, err := audit(t.Context(), url, histories...)
			if err != nil {
				t.Fatal(err)
			}
			var red []string
			for _, v := range report.Violations {
				red = append(red, v.Invariant)
				if !slices.ContainsFunc(report.Checked, func(inv store.Invariant) bool { return inv.Name == v.Invariant && inv.Doc != "" }) {
					t.Errorf("%s is not among what was checked", v.Invariant)
				}
			}
			if !slices.Equal(red, tt.red) || report.OK != (len(tt.red) == 0) || report.Records != strings.Count(tt.file, "\n") {
				t.Errorf("red %v, want %v; ok %v, %d records", red, tt.red, report.OK, report.Records)
			}
		})
	}
}

func TestAuditRefusesBadHistories(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"missing":    {[]string{"--history", filepath.Join(t.TempDir(), "none")}, "no such file"},
		"empty":      {[]string{"--history", writeFile(t, "")}, "has no record"},
		"malformed":  {[]string{"--history", writeFile(t, confirmed), "--history", writeFile(t, confirmed+"ordered\n")}, "history.jsonl: line 2: invalid character"},
		"no history": {[]string{"--redis-lost"}, "--redis-lost goes with --history"},
	} {
		t.Run(name, func(t *testing.T) {
			var c auditCommand
			parser, err := kong.New(&c, kong.BindTo(t.Context(), (*context.Context)(nil)))
			if err != nil {
				t.Fatal(err)
			}
			line, err := parser.Parse(append(tt.args, "--database-url", "postgres://127.0.0.1:1/x"))
			if err != nil {
				t.Fatal(err)
			}
			if err := line.Run(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
