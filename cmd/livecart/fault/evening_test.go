package fault

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session/stack/stacktest"
)

var (
	wholeEvening = flag.Bool("evening", false, "play the evening in full: 1,000 pieces, 50,000 attempts, Postgres away for 20 s")
	keepIn       = flag.String("keep", "", "folder that takes the evening's statement (JSON, CSV, and the page as PNG where there is a browser)")
)

// evening is one flash sale under everything at once.
type evening struct {
	pieces   int64
	attempts int // sendings that are planned; a third of them repeat a key
	buyers   int // one in five never pays
	rate     int // sendings a second
	outage   time.Duration
	window   time.Duration // for paying
	within   time.Duration // the whole of it
}

const (
	// eveningLimit is how many pieces a buyer may have.
	eveningLimit = 10
	// A buyer who pays sends a rose for each piece, and has the beans for fewer than may be sent.
	roseBeans   = 9
	walletBeans = 3 * roseBeans
)

// TestEvening sells out while Redis is flushed, a ledger is killed in a transaction, a gateway is killed
// that holds unanswered attempts, and Postgres is away. What expires is sold again until everything is
// sold and paid: exactly the sale's pieces, each key with one outcome, and a statement that balances.
func TestEvening(t *testing.T) {
	t.Parallel()
	e := evening{pieces: 60, attempts: 1500, buyers: 60, rate: 250, outage: 2 * time.Second, window: 3 * time.Second, within: time.Minute}
	if *wholeEvening {
		e = evening{pieces: 1000, attempts: 50_000, buyers: 200, rate: 500, outage: 20 * time.Second, window: 8 * time.Second, within: 8 * time.Minute}
	}
	w := newWorld(t, setup{
		gateways: 2, ledgers: 2, ownRedis: true, ownPostgres: true,
		flags: []string{"--flash-pay-window", e.window.String()},
	}, build(t, variant{}))
	w.redisLost, w.calm = true, time.Minute
	began := time.Now()
	sale := w.sale(e.pieces, eveningLimit)
	_, err := w.cart.PutFees(t.Context(), shopID, time.Time{}, 55_555, 333_333, "operator") // such that nothing divides evenly
	w.must(err)
	w.must(w.gifts.PutGift(t.Context(), &proto.Gift{Id: "rose", Names: map[string]string{"en": "Rose"}, Beans: roseBeans, Tier: 1}))
	c := newCrowd(w, e, sale)
	ctx, cancel := context.WithTimeout(t.Context(), e.within)
	defer cancel()
	var playing sync.WaitGroup
	playing.Go(func() { c.play(ctx) }) // ends when every sending has its outcome, at the latest with ctx
	t.Cleanup(playing.Wait)
	t.Cleanup(cancel)
	e.breakEverything(w, sale)
	playing.Wait()
	c.sellTheRest(ctx)
	c.tell()
	w.equal("pieces sold", w.sold(sale), e.pieces)
	w.equal("pieces paid", paidPieces(w, sale), e.pieces)
	w.endRoom()
	w.checkStatement()
	w.finish()
	t.Logf("%d pieces sold and paid by %d sendings of %d planned, in %v; orders: %s", e.pieces, len(w.records), e.attempts,
		time.Since(began).Round(time.Millisecond), scan[string](w, `SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM orders GROUP BY state) s`))
}

// breakEverything injects the faults one after another, each when more of the sale is sold.
func (e evening) breakEverything(w *world, sale *proto.FlashSale) {
	w.t.Helper()
	reached := func(percent int64) {
		w.t.Helper()
		w.until(fmt.Sprintf("%d %% are sold", percent), e.within, func() bool { return w.sold(sale)*100 >= e.pieces*percent })
	}
	reached(10)
	w.must(w.redis.FlushAll(w.t.Context()).Err())

	reached(25)
	dying := w.ledgers[0]
	release := w.lockSale(sale.Id)
	w.until("the ledger is in a transaction", patience, func() bool { return w.waiting(dying.name) > 0 })
	dying.kill()
	release.commit()
	dying.start()

	reached(40)
	gateway := w.gateways[1]
	w.come("attempts are on their way to a ledger", gateway.nats.onSight(up, ledgerSubject, func() { gateway.nats.hold(up) }))
	gateway.kill()
	gateway.mend()
	gateway.start()

	reached(55)
	w.postgres.Stop()
	time.Sleep(e.outage) // the fault itself, nothing is waited for
	w.postgres.Start()
}

// crowd are the buyers of an evening.
type crowd struct {
	w      *world
	e      evening
	sale   *proto.FlashSale
	buyers []*patron
	work   sync.WaitGroup
}

// patron is one buyer with an app at each gateway.
type patron struct {
	user string
	pays bool

	mu    sync.Mutex
	seats map[*process]*seat
}

func newCrowd(w *world, e evening, sale *proto.FlashSale) *crowd {
	c := &crowd{w: w, e: e, sale: sale}
	for i := range e.buyers {
		p := &patron{user: fmt.Sprintf("buyer-%d", i), pays: i%5 != 0, seats: map[*process]*seat{}}
		w.must(w.gifts.Grant(w.t.Context(), p.user, "evening", walletBeans))
		c.buyers = append(c.buyers, p)
	}
	w.t.Cleanup(func() {
		for _, p := range c.buyers {
			for _, s := range p.seats {
				s.viewer.Cut()
			}
		}
	})
	return c
}

// play has the buyers send what is planned and returns when each sending has its outcome.
func (c *crowd) play(ctx context.Context) {
	for i, p := range c.buyers {
		c.work.Go(func() { c.shop(ctx, p, i) }) // ends when all that it sent has its outcome, or with ctx
	}
	c.work.Wait()
}

// shop sends a buyer's share of the attempts, three at a time: two keys, and one of them once more at the
// other gateway. The next three follow when these have their outcomes, and not faster than the rate.
func (c *crowd) shop(ctx context.Context, p *patron, i int) {
	turn := time.Duration(3*len(c.buyers)) * time.Second / time.Duration(c.e.rate)
	pause(ctx, rand.N(turn)) // not all at once
	next := time.Now()
	for sent := 0; sent < c.e.attempts/len(c.buyers) && ctx.Err() == nil; sent += 3 {
		var turned sync.WaitGroup
		for n, key := range []int{sent, sent + 1, sent} {
			turned.Go(func() { c.attempt(ctx, p, fmt.Sprintf("k%d", key), i+n) }) // ends with its outcome or ctx
		}
		turned.Wait()
		next = next.Add(turn)
		pause(ctx, time.Until(next))
	}
}

// attempt buys one piece under a key; who gets one and pays also sends a rose.
func (c *crowd) attempt(ctx context.Context, p *patron, key string, first int) {
	r := c.insist(ctx, p, key, first, &proto.Command{Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: c.sale.Id, Quantity: 1}}})
	if r.Outcome != loadtest.OutcomeOK || !p.pays {
		return
	}
	c.pay(ctx, p, r.OrderID)
	c.insist(ctx, p, "rose-"+key, first, &proto.Command{Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 1}}})
}

// insist asks at either gateway under one key until there is an outcome or ctx ends.
func (c *crowd) insist(ctx context.Context, p *patron, key string, first int, cmd *proto.Command) (r loadtest.Record) {
	for try := 0; ctx.Err() == nil; try++ {
		if s := p.seat(ctx, c.w, c.w.gateways[(first+try)%len(c.w.gateways)]); s != nil {
			if r = s.do(key, proto.Clone(cmd)); final(r.Outcome) {
				return r
			}
		}
		patiently(ctx, try)
	}
	return r
}

// patiently pauses before a command is sent again, as apps should: longer each time, and by chance.
func patiently(ctx context.Context, try int) {
	pause(ctx, rand.N(min(200*time.Millisecond<<min(try, 10), 5*time.Second)))
}

// pay asks where to pay until somebody says, and pays there. An order that is paid, expired or given up
// by then is left.
func (c *crowd) pay(ctx context.Context, p *patron, orderID string) {
	for try := 0; ctx.Err() == nil; try++ {
		if s := p.seat(ctx, c.w, c.w.gateways[try%len(c.w.gateways)]); s != nil {
			ok, reason := s.call("pay-"+orderID, payCommand(orderID))
			if payment := ok.GetPayment(); payment != nil {
				c.w.bank.pay(payment.Url)
				return
			}
			if reason == string(proto.ReasonOrderState) {
				return
			}
		}
		patiently(ctx, try)
	}
}

// seat returns the buyer's connection to a gateway, a new one where none stands; nil where the gateway
// lets nobody in. It goes past the gateway's front link, which nothing is done to: the faults are behind.
func (p *patron) seat(ctx context.Context, w *world, g *process) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.seats[g]; s != nil {
		select {
		case <-s.viewer.Done():
		default:
			return s
		}
	}
	s, err := w.sitAt(ctx, p.user, g.front.far())
	if err != nil {
		return nil
	}
	p.seats[g] = s
	return s
}

// sellTheRest has payers buy what expires until every piece is sold and paid.
func (c *crowd) sellTheRest(ctx context.Context) {
	c.w.t.Helper()
	for round := 0; ctx.Err() == nil; round++ {
		left := c.e.pieces - c.w.sold(c.sale)
		if left == 0 && paidPieces(c.w, c.sale) == c.e.pieces {
			return
		}
		var buying sync.WaitGroup
		for i := range left {
			p := c.buyers[rand.N(len(c.buyers))]
			if p.pays {
				buying.Go(func() { c.attempt(ctx, p, fmt.Sprintf("late-%d-%d", round, i), int(i)) }) // ends with its outcome or ctx
			}
		}
		buying.Wait()
		pause(ctx, 200*time.Millisecond)
	}
	c.w.t.Errorf("%d of %d pieces are sold, %d paid when the time is over", c.w.sold(c.sale), c.e.pieces, paidPieces(c.w, c.sale))
}

// tell shows what the buyers were told.
func (c *crowd) tell() {
	outcomes := map[string]int{}
	for _, r := range c.w.records {
		outcomes[r.Kind+" "+r.Outcome]++
	}
	for _, o := range slices.Sorted(maps.Keys(outcomes)) {
		c.w.t.Logf("%6d %s", outcomes[o], o)
	}
}

// paidPieces are the pieces of a sale in orders that are paid.
func paidPieces(w *world, sale *proto.FlashSale) int64 {
	w.t.Helper()
	return scan[int64](w, `
		SELECT coalesce(sum(l.quantity - l.restocked), 0)::bigint FROM orders o JOIN order_line l ON l.order_id = o.id
		WHERE o.sale_id = $1 AND o.state = 'paid'`, sale.Id)
}

// endRoom ends the room as its host does.
func (w *world) endRoom() {
	w.t.Helper()
	_, reason := w.sitHost(w.gateways[0]).call("end", &proto.Command{Command: &proto.Command_RoomEnd{RoomEnd: &proto.RoomEnd{}}})
	w.equal("what came of room_end", reason, loadtest.OutcomeOK)
}

// checkStatement waits until the room's statement is final, and holds that it balances.
func (w *world) checkStatement() {
	w.t.Helper()
	var s struct {
		Final, Balanced bool
		Figures         []struct {
			Scope, Name string
			Amount      int64 `json:",string"`
		}
		Balances []struct {
			Name       string
			Difference int64 `json:",string"`
		}
	}
	w.until("the statement is final", patience, func() bool {
		w.must(json.Unmarshal(w.statement("json"), &s))
		return s.Final
	})
	w.equal("the statement balances", s.Balanced, true)
	if len(s.Figures) == 0 || len(s.Balances) == 0 {
		w.t.Error("the statement is empty")
	}
	for _, b := range s.Balances {
		w.equal("difference of "+b.Name, b.Difference, int64(0))
	}
	if *keepIn != "" {
		w.must(os.WriteFile(filepath.Join(*keepIn, "statement.json"), w.statement("json"), 0o644))
		w.must(os.WriteFile(filepath.Join(*keepIn, "statement.csv"), w.statement("csv"), 0o644))
		w.photograph(filepath.Join(*keepIn, "statement.png"))
	}
}

// photograph takes a picture of the statement's page.
func (w *world) photograph(file string) {
	w.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(stacktest.Chrome(w.t)), chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, stop := chromedp.NewExecAllocator(w.t.Context(), options...)
	defer stop()
	browser, end := chromedp.NewContext(allocator)
	defer end()
	address := "http://" + w.gateways[0].front.near() + "/host/" + roomID + "/statement#access_token=" + w.token(hostID, "host")
	w.must(chromedp.Do(browser, chromedp.EmulateViewport(1100, 900)))
	w.must(chromedp.Do(browser, chromedp.Navigate(address)))
	w.must(chromedp.Do(browser, chromedp.WaitVisible("table")))
	picture, err := chromedp.Run(browser, chromedp.FullScreenshot(100))
	w.must(err)
	w.must(os.WriteFile(file, picture, 0o644))
}

// statement reads the room's statement as its host.
func (w *world) statement(format string) []byte {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet,
		"http://"+w.gateways[0].front.near()+"/v1/rooms/"+roomID+"/statement?format="+format, nil)
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+w.token(hostID, "host"))
	reply, err := once.Do(request)
	w.must(err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	w.must(err)
	if reply.StatusCode != http.StatusOK {
		w.t.Fatalf("statement: %s: %s", reply.Status, body)
	}
	return body
}
