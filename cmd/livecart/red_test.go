package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// TestSmokeTurnsRed breaks the service in one way at a time and holds that the smoke scenario's
// check for it fails: by a gateway in between that changes what viewers are told, and by triggers in
// Postgres that change what is recorded.
func TestSmokeTurnsRed(t *testing.T) {
	tests := []struct {
		fault  string
		red    string
		tamper func() func(*proto.ServerFrame)
		sql    string
	}{
		{fault: "swallowed comment", red: "comments_accounted", tamper: func() func(*proto.ServerFrame) {
			return dropOnce(func(ev *proto.Event) bool { return ev.GetChatMessage() != nil })
		}},
		{fault: "comment told twice", red: "comments_accounted", tamper: func() func(*proto.ServerFrame) {
			return doubleOnce(func(ev *proto.Event) bool { return ev.GetChatMessage() != nil })
		}},
		{fault: "lost numbered event", red: "events_gapless", tamper: func() func(*proto.ServerFrame) {
			return dropOnce(func(ev *proto.Event) bool { return ev.GetFlashStarted() != nil })
		}},
		{fault: "lost last event", red: "events_gapless", tamper: func() func(*proto.ServerFrame) {
			return dropOnce(func(ev *proto.Event) bool { return ev.GetFlashEnded() != nil })
		}},
		{fault: "tip told to nobody", red: "tips_told_once", tamper: func() func(*proto.ServerFrame) {
			return dropOnce(func(ev *proto.Event) bool { return ev.GetGiftSent() != nil })
		}},
		{fault: "likes counted short", red: "likes_exact", tamper: func() func(*proto.ServerFrame) {
			return func(f *proto.ServerFrame) {
				for _, ev := range f.Events {
					if s := ev.GetRoomStats(); s != nil && s.Likes > 0 {
						s.Likes--
					}
				}
			}
		}},
		{fault: "oversell", red: "orders_recorded_once", sql: `
			CREATE FUNCTION oversell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.sale_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM orders WHERE id LIKE '%_again') THEN
					INSERT INTO orders SELECT (jsonb_populate_record(NEW, jsonb_build_object('id', NEW.id || '_again', 'request_id', 'again'))).*;
					INSERT INTO order_line (order_id, n, listing_id, sku_id, title, image_url, quantity, unit_price)
						VALUES (NEW.id || '_again', 1, 'x', 'x', 'x', '', 1, 0);
				END IF;
				RETURN NULL;
			END $$;
			CREATE TRIGGER oversell AFTER INSERT ON orders FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION oversell()`},
		{fault: "lost order", red: "orders_recorded_once", sql: `
			CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				UPDATE orders SET request_id = 'forgotten' WHERE id = NEW.id AND NOT EXISTS (SELECT 1 FROM orders WHERE request_id = 'forgotten');
				RETURN NULL;
			END $$;
			CREATE TRIGGER forget AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION forget()`},
		{fault: "doubled tip", red: "tips_recorded_once", sql: `
			ALTER TABLE tip DROP CONSTRAINT tip_sender_id_version_key;
			DROP INDEX tip_combo_count;
			CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NOT EXISTS (SELECT 1 FROM tip WHERE id LIKE '%_again') THEN
					INSERT INTO tip SELECT (jsonb_populate_record(NEW, jsonb_build_object('id', NEW.id || '_again'))).*;
				END IF;
				RETURN NULL;
			END $$;
			CREATE TRIGGER double AFTER INSERT ON tip FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION double()`},
		{fault: "a bean too many", red: "balances_add_up", sql: `
			CREATE FUNCTION enrich() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.balance < OLD.balance THEN NEW.balance := NEW.balance + 1; END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER enrich BEFORE UPDATE ON wallet FOR EACH ROW EXECUTE FUNCTION enrich()`},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.fault, " ", "_"), func(t *testing.T) {
			t.Parallel() // most of a red run is waiting for what does not come
			info := startDev(t)
			var gateways []string
			if tt.tamper != nil {
				tamper := tt.tamper()
				for _, g := range info.Gateways {
					gateways = append(gateways, tamperingGateway(t, g.URL, tamper))
				}
			}
			if tt.sql != "" {
				conn, err := pgx.Connect(t.Context(), info.DatabaseURL)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(t.Context())
				if _, err := conn.Exec(t.Context(), tt.sql); err != nil {
					t.Fatal(err)
				}
			}
			result := smoke(t, info, gateways...)
			if result.Passed {
				t.Error("the run passed")
			}
			for _, c := range result.Checks {
				if c.Name == tt.red {
					if c.OK || c.Skipped != "" {
						t.Errorf("%s is not red", tt.red)
					}
					return
				}
			}
			t.Errorf("there is no check %s", tt.red)
		})
	}
}

// dropOnce takes the first event that matches out of the frame that it comes in.
func dropOnce(match func(*proto.Event) bool) func(*proto.ServerFrame) {
	return once(match, func(f *proto.ServerFrame, i int) { f.Events = append(f.Events[:i:i], f.Events[i+1:]...) })
}

// doubleOnce tells the first event that matches twice.
func doubleOnce(match func(*proto.Event) bool) func(*proto.ServerFrame) {
	return once(match, func(f *proto.ServerFrame, i int) { f.Events = append(f.Events, f.Events[i]) })
}

// once applies change to the first event that matches, over all connections. Every connection gets
// the same shared frame bytes but decodes its own copy here.
func once(match func(*proto.Event) bool, change func(f *proto.ServerFrame, i int)) func(*proto.ServerFrame) {
	var done atomic.Bool
	return func(f *proto.ServerFrame) {
		for i, ev := range f.Events {
			if match(ev) && done.CompareAndSwap(false, true) {
				change(f, i)
				return
			}
		}
	}
}

// tamperingGateway stands before a gateway and changes the frames that viewers get.
func tamperingGateway(t *testing.T, upstream string, tamper func(*proto.ServerFrame)) string {
	t.Helper()
	base, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	plain := httputil.NewSingleHostReverseProxy(base)
	upgrader := websocket.Upgrader{Subprotocols: proto.Subprotocols[:]}
	var wg sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) {
			plain.ServeHTTP(w, r)
			return
		}
		wg.Add(1)
		defer wg.Done()
		dialer := websocket.Dialer{Subprotocols: websocket.Subprotocols(r)}
		inner, _, err := dialer.DialContext(r.Context(), "ws"+strings.TrimPrefix(upstream, "http")+r.URL.RequestURI(), http.Header{"Authorization": r.Header["Authorization"]})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer inner.Close()
		outer, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer outer.Close()
		aimed := aimedAt(t, r)
		var pump sync.WaitGroup
		pump.Go(func() {
			defer inner.Close()
			relay(outer, inner, func(data []byte) []byte { return data })
		})
		relay(inner, outer, func(data []byte) []byte {
			if !aimed {
				return data
			}
			return tampered(inner.Subprotocol(), data, tamper)
		})
		outer.Close()
		pump.Wait()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		wg.Wait()
	})
	return server.URL
}

// hostFault is the one fault that lies in what the host is told: the scenario reads totals there.
const hostFault = "TestSmokeTurnsRed/likes_counted_short"

// aimedAt reports whether a fault goes to this connection: the host's for hostFault, else those of
// the watchers, whom the checks compare. The first tenth of a smoke's viewers send gifts instead.
func aimedAt(t *testing.T, r *http.Request) bool {
	var claims struct{ Sub, Role string }
	decodeClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), &claims)
	if t.Name() == hostFault {
		return claims.Role == demoHost.Role
	}
	number, err := strconv.Atoi(claims.Sub[strings.LastIndex(claims.Sub, "-")+1:])
	return err == nil && strings.HasPrefix(claims.Sub, "load-") && number >= smokeViewers/10
}

func relay(from, to *websocket.Conn, change func([]byte) []byte) {
	for {
		kind, data, err := from.ReadMessage()
		if err != nil {
			return
		}
		if to.WriteMessage(kind, change(data)) != nil {
			return
		}
	}
}

func tampered(subprotocol string, data []byte, tamper func(*proto.ServerFrame)) []byte {
	format, _ := proto.FormatOf(subprotocol)
	frame := new(proto.ServerFrame)
	if proto.Decode(format, data, frame) != nil {
		return data
	}
	before := proto.Clone(frame)
	tamper(frame)
	if proto.Equal(before, frame) {
		return data
	}
	changed, err := proto.Encode(format, frame)
	if err != nil {
		return data
	}
	return changed
}
