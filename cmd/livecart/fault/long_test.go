package fault

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

const (
	// longDefault is how long -long goes on unless told.
	longDefault = 10 * time.Minute
	// longBuyers is how many buyers shop at a time.
	longBuyers = 24
	// saleEvery is the pause between two flash sales, of longPieces each.
	saleEvery  = 10 * time.Second
	longPieces = 60
)

// TestLong breaks everything at random under steady load of flash sales, ordinary orders, payments and
// tips, then lets all settle and checks everything, as after each case. The seed fixes the faults and
// their order; what they meet depends on the machine.
func TestLong(t *testing.T) {
	if !*long {
		t.Skip("runs with -long")
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	fmt.Printf("go test ./cmd/livecart/fault -run Long -long -for %v -seed %d\n", *longFor, *seed)
	w := newWorld(t, setup{
		gateways: 2, ledgers: 2, ownRedis: true, ownPostgres: true,
		flags: []string{"--flash-pay-window", "8s", "--order-pay-window", "20s"},
	}, build(t, variant{}))
	w.redisLost, w.calm = true, 2*time.Minute
	l := &longRun{w: w, random: rand.New(rand.NewPCG(*seed, 0)), done: map[string]int{}}
	l.run(*longFor)
}

// longRun is one run of the long form.
type longRun struct {
	w      *world
	random *rand.Rand // of the faults
	sale   atomic.Pointer[proto.FlashSale]
	sales  int
	done   map[string]int // faults, by kind
	paid   atomic.Int64
}

func (l *longRun) run(d time.Duration) {
	w := l.w
	w.t.Helper()
	w.must(w.gifts.PutGift(w.t.Context(), &proto.Gift{Id: "rose", Names: map[string]string{"en": "Rose"}, Beans: 5, Tier: 1}))
	stall := w.product(1_000_000)
	for i := range longBuyers {
		w.must(w.gifts.Grant(w.t.Context(), longBuyer(i), "long", 100_000))
	}
	l.sale.Store(w.sale(longPieces, 4))
	ctx, stop := context.WithTimeout(w.t.Context(), d)
	defer stop()
	var buyers sync.WaitGroup
	for i := range longBuyers {
		buyers.Go(func() { l.shop(ctx, i, stall) }) // ends with ctx and its last outcome
	}
	next := time.Now().Add(saleEvery)
	for ctx.Err() == nil {
		if time.Now().After(next) {
			next = time.Now().Add(saleEvery)
			l.sale.Store(w.sale(longPieces, 4))
			l.sales++
		}
		l.breakSomething()
		pause(ctx, time.Duration(300+l.random.IntN(2000))*time.Millisecond)
	}
	buyers.Wait()
	w.finish()
	l.tell()
}

// tell shows what the run went through.
func (l *longRun) tell() {
	l.w.t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(l.done)) {
		l.w.t.Logf("%4d × %s", l.done[kind], kind)
	}
	outcomes := map[string]int{}
	for _, r := range l.w.records {
		outcomes[r.Kind+" "+r.Outcome]++
	}
	for _, o := range slices.Sorted(maps.Keys(outcomes)) {
		l.w.t.Logf("%6d %s", outcomes[o], o)
	}
	l.w.t.Logf("%d sales, %d orders, %d paid by their buyers, %d of them recorded as paid, %d expired, %d tips", l.sales+1,
		scan[int](l.w, `SELECT count(*) FROM orders`), l.paid.Load(), scan[int](l.w, `SELECT count(*) FROM orders WHERE state = 'paid'`),
		scan[int](l.w, `SELECT count(*) FROM orders WHERE state = 'expired'`), scan[int](l.w, `SELECT count(*) FROM tip`))
}

func longBuyer(i int) string { return "b" + strconv.Itoa(i) }

// shop is one buyer, who buys, pays and tips until ctx ends, and insists on an outcome of each command.
func (l *longRun) shop(ctx context.Context, i int, stall string) {
	random := rand.New(rand.NewPCG(*seed, uint64(i)+1))
	user := longBuyer(i)
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("k%d", n)
		cmd := &proto.Command{}
		switch pick := random.IntN(10); {
		case pick < 6:
			cmd.Command = &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: l.sale.Load().Id, Quantity: 1}}
		case pick < 8:
			cmd.Command = &proto.Command_OrderCreate{OrderCreate: &proto.OrderCreate{Items: []*proto.OrderItem{{ListingId: stall, Quantity: 1}}}}
		default:
			cmd.Command = &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 1}}
		}
		gateways := l.w.gateways
		if random.IntN(2) == 0 {
			gateways = []*process{gateways[1], gateways[0]}
		}
		got := l.w.insistAt(gateways, user, key, cmd)
		if random.IntN(3) == 0 {
			l.w.insistAt(gateways[:1], user, key, cmd) // a duplicate
		}
		if got.OrderID != "" && random.IntN(10) < 7 {
			l.pay(ctx, user, got.OrderID, gateways[0])
		}
		pause(ctx, time.Duration(random.IntN(300))*time.Millisecond)
	}
}

// pay asks for a payment and pays it where an address comes: an order that stays unpaid expires.
func (l *longRun) pay(ctx context.Context, user, orderID string, g *process) {
	s, err := l.w.trySit(ctx, user, g)
	if err != nil {
		return
	}
	defer s.viewer.Cut()
	reply, err := s.viewer.Do(ctx, &proto.Command{RequestId: "pay-" + orderID, Command: &proto.Command_OrderPay{OrderPay: &proto.OrderPay{OrderId: orderID}}})
	if err != nil || reply.GetOk().GetPayment() == nil {
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, reply.GetOk().GetPayment().Url, nil)
	if err != nil {
		l.w.t.Errorf("the address to pay at: %v", err)
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		l.paid.Add(1)
	}
}

// breakSomething injects one fault and ends it.
func (l *longRun) breakSomething() {
	w := l.w
	processes := w.processes()
	p := processes[l.random.IntN(len(processes))]
	links := []*link{p.redis, p.postgres, p.nats}
	if p.front != nil {
		links = append(links, p.front)
	}
	broken := links[l.random.IntN(len(links))]
	way := direction(l.random.IntN(2))
	lasting := time.Duration(200+l.random.IntN(3000)) * time.Millisecond
	hold := func(d time.Duration) { pause(w.t.Context(), d) }
	faults := []struct {
		kind string
		run  func()
	}{
		{"kill -9 of a " + p.role, func() { p.kill(); hold(lasting / 2); p.start() }},
		{"kill -9 of a " + p.role, func() { p.kill(); hold(lasting / 2); p.start() }},
		{"stop of a " + p.role, func() { p.stop(); p.start() }},
		{"freeze of a " + p.role, func() { p.freeze(); hold(lasting); p.thaw() }},
		{"cut link", func() { broken.cut(); hold(lasting); broken.mend() }},
		{"dropped connections", func() { broken.drop() }},
		{"half-open link", func() { broken.hold(way); hold(lasting); broken.mend() }},
		{"half-open link, then lost", func() { broken.hold(way); hold(lasting); broken.drop(); broken.mend() }},
		{"black hole", func() { broken.hold(up, down); hold(lasting); broken.mend() }},
		{"slow link", func() { broken.slow(way, 150*time.Millisecond); hold(lasting); broken.mend() }},
		{"FLUSHALL", func() {
			w.until("Redis is empty", patience, func() bool { return w.redis.FlushAll(w.t.Context()).Err() == nil })
		}},
		{"kill -9 of Redis", func() { w.ownRedis.Kill(); hold(lasting / 2); w.ownRedis.Start() }},
		{"kill -9 of Postgres", func() { w.postgres.Kill(); hold(lasting); w.postgres.Start() }},
		{"stop of Postgres", func() { w.postgres.Stop(); hold(lasting / 2); w.postgres.Start() }},
		{"ended Postgres sessions", func() {
			w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, p.name)
		}},
		{"NATS restart", func() { w.nats.Close(); hold(lasting / 4); w.startNATS() }},
	}
	f := faults[l.random.IntN(len(faults))]
	l.done[f.kind]++
	f.run()
	// The case's own connections come back before it works on.
	w.pool.Reset()
	w.until("Postgres answers the case", startPatience, func() bool { return w.pool.Ping(w.t.Context()) == nil })
	w.until("Redis answers the case", startPatience, func() bool { return w.redis.Ping(w.t.Context()).Err() == nil })
	w.until("NATS answers the case", startPatience, func() bool { return w.bus.Connected() })
}
