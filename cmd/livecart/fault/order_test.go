package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
)

// sitHost connects the room's host to a gateway; the case ends the connection.
func (w *world) sitHost(g *process) *seat {
	w.t.Helper()
	claims := session.Claims{Subject: hostID, Name: "Host", Role: "host", Rooms: session.RoomList{session.AllRooms}, Shop: shopID}
	token, err := session.MintToken(w.key, claims.Until(time.Now().Add(24*time.Hour)))
	w.must(err)
	viewer, err := loadtest.Join(w.t.Context(), loadtest.ViewerConfig{
		URL: "ws://" + g.front.near() + "/v1/rooms/" + roomID + "/ws", Token: token, Format: proto.JSON, ReplyTimeout: replyPatience,
	})
	w.must(err)
	w.t.Cleanup(viewer.Cut)
	return &seat{w: w, user: hostID, viewer: viewer}
}

// call sends a command that is not of the history and returns its result, or the reason of its refusal,
// "" where no answer came.
func (s *seat) call(key string, cmd *proto.Command) (*proto.Ok, string) {
	cmd.RequestId = key
	reply, err := s.viewer.Do(context.Background(), cmd)
	switch {
	case err != nil:
		return nil, ""
	case reply.GetOk() == nil:
		return nil, reply.GetError().GetReason()
	}
	return reply.GetOk(), loadtest.OutcomeOK
}

// told is what came of a command of a host or payer that was sent in the background.
type told struct {
	ok     *proto.Ok
	reason string
}

// calling is call in the background.
func (s *seat) calling(key string, cmd *proto.Command) <-chan told {
	answer := make(chan told, 1)
	go func() { // ends with the answer, at the latest with the connection
		ok, reason := s.call(key, cmd)
		answer <- told{ok, reason}
	}()
	return answer
}

// order makes an ordinary order of so many pieces of each listing, and returns its id.
func (s *seat) order(key string, pieces int32, listings ...string) string {
	s.w.t.Helper()
	create := new(proto.OrderCreate)
	for _, id := range listings {
		create.Items = append(create.Items, &proto.OrderItem{ListingId: id, Quantity: pieces})
	}
	r := s.do(key, &proto.Command{Command: &proto.Command_OrderCreate{OrderCreate: create}})
	if r.Outcome != loadtest.OutcomeOK {
		s.w.t.Fatalf("%s got %q for order_create %s", s.user, r.Outcome, key)
	}
	return r.OrderID
}

func payCommand(orderID string) *proto.Command {
	return &proto.Command{Command: &proto.Command_OrderPay{OrderPay: &proto.OrderPay{OrderId: orderID}}}
}

// bill asks where to pay an order.
func (s *seat) bill(key, orderID string) *proto.Payment {
	s.w.t.Helper()
	ok, reason := s.call(key, payCommand(orderID))
	if reason != loadtest.OutcomeOK {
		s.w.t.Fatalf("%s got %q for order_pay of %s", s.user, reason, orderID)
	}
	return ok.GetPayment()
}

func repriceCommand(orderID string, amount, version int64) *proto.Command {
	return &proto.Command{Command: &proto.Command_OrderReprice{OrderReprice: &proto.OrderReprice{OrderId: orderID, Amount: amount, ExpectedVersion: version}}}
}

// state is an order's state by Postgres.
func (w *world) state(orderID string) string {
	w.t.Helper()
	return scan[string](w, `SELECT state FROM orders WHERE id = $1`, orderID)
}

// become waits until an order is in a state.
func (w *world) become(orderID, state string) {
	w.t.Helper()
	w.until(fmt.Sprintf("order %s is %s", orderID, state), patience, func() bool { return w.state(orderID) == state })
}

// moves is how often an order has changed its state, its creation included.
func (w *world) moves(orderID string) int {
	w.t.Helper()
	return scan[int](w, `SELECT count(*) FROM order_event WHERE order_id = $1`, orderID)
}

// result is what came of a notice; "" while there is none.
func (w *world) result(event string) string {
	w.t.Helper()
	return scan[string](w, `SELECT coalesce((SELECT result FROM payment_notice WHERE event_id = $1), '')`, event)
}

// overdue ends the payment window of orders.
func (w *world) overdue(orderIDs ...string) {
	w.t.Helper()
	w.exec(`UPDATE orders SET expires_at = clock_timestamp() - interval '1 second' WHERE id = ANY ($1)`, orderIDs)
}

// hold runs a statement in a transaction of the case, which keeps what that locks until release.
func (w *world) hold(sql string, args ...any) (release func()) {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	w.must(err)
	w.t.Cleanup(func() { tx.Rollback(context.Background()) })
	_, err = tx.Exec(w.t.Context(), sql, args...)
	w.must(err)
	return func() {
		w.t.Helper()
		if err := tx.Rollback(w.t.Context()); err != nil && err != pgx.ErrTxClosed {
			w.t.Fatal(err)
		}
	}
}

func (w *world) holdOrder(orderID string) (release func()) {
	w.t.Helper()
	return w.hold(`SELECT FROM orders WHERE id = $1 FOR UPDATE`, orderID)
}

// holdCommits makes every transaction wait inside its COMMIT, when all is written and nothing is decided,
// that has done event ("INSERT", "UPDATE") to a row of a table that meets the condition.
func (w *world) holdCommits(event, table, condition string) (release func()) {
	w.t.Helper()
	w.exec(`CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock_shared(20);
		RETURN NULL;
	END $$`)
	w.exec(`CREATE CONSTRAINT TRIGGER hold_commit AFTER ` + event + ` ON ` + table + `
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (` + condition + `) EXECUTE FUNCTION hold_commit()`)
	return w.hold(`SELECT pg_advisory_xact_lock(20)`)
}

// at is who waits for a lock in a statement that holds a text; "" for nobody.
func (w *world) at(statement string) string {
	w.t.Helper()
	return scan[string](w, `
		SELECT coalesce((SELECT application_name FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND strpos(lower(query), lower($1)) > 0 ORDER BY state_change LIMIT 1), '')`, statement)
}

// caught waits until somebody waits for a lock in a statement, and returns who.
func (w *world) caught(statement string) *process {
	w.t.Helper()
	name := ""
	w.until("somebody waits in "+statement, patience, func() bool {
		name = w.at(statement)
		return name != ""
	})
	for _, p := range w.processes() {
		if p.name == name {
			return p
		}
	}
	w.t.Fatalf("it is %q who waits in %s", name, statement)
	return nil
}

// waits waits until so many sessions of a process wait for a lock. An answer to one of those that are to
// wait ends the case.
func (w *world) waits(p *process, n int, answers ...<-chan int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d sessions of %s wait for a lock", n, p.name), patience, func() bool {
		for _, status := range answers {
			if len(status) > 0 {
				w.t.Fatalf("a notice was answered %d while it had to wait", <-status)
			}
		}
		return w.waiting(p.name) >= n
	})
}
