package fault

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"livecart/cart"
	"livecart/gift"
	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
	"livecart/session/bus"
	"livecart/session/stack"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// setup says what a case needs. Zero counts are for one gateway and one ledger.
type setup struct {
	gateways, ledgers int
	// ownRedis and ownPostgres give the case servers that it may hurt.
	ownRedis, ownPostgres bool
	// patientRedis is for a case that an outage of Redis would spoil: a busy machine may hold up an answer for
	// longer than a call waits otherwise.
	patientRedis bool
	// flags are given to every process.
	flags []string
}

// ledgerSubject is the beginning of what gateways ask ledgers.
const ledgerSubject = "livecart.ledger."

// The room that every case sells in, and who runs it.
const (
	roomID = "live"
	shopID = "shop"
	hostID = "host"
)

// world is one case's installation: real servers, and livecart processes that reach them over links.
// What hosts and the case itself do goes past the links. Methods that may end the test are for the
// case's own goroutine.
type world struct {
	t                   testing.TB
	dir                 string
	keyFile, secretFile string
	key                 session.SigningKey

	postgres *stacktest.PostgresServer // nil when shared
	ownRedis *stacktest.RedisServer    // nil when shared
	nats     *stack.NATSServer
	database string // URLs, without links
	redisAt  string
	// See setup.
	patientRedis bool

	// The case's own hands, past every link. bus is connected to the first NATS server.
	pool  *pgxpool.Pool
	redis redis.UniversalClient
	hub   *link // the case's own link to NATS
	bus   *bus.Bus
	cart  *cart.Cart
	gifts *gift.Gifts
	bank  *bank

	gateways, ledgers []*process
	products          int

	// Whether Redis was lost in the case: with it go the refusals that it gave.
	redisLost bool
	// How long everything may take to settle; patience when 0.
	calm time.Duration
	// Whether the case sent what must end in dead_letter.
	poisoned bool

	mu      sync.Mutex
	records []loadtest.Record
}

// newWorld starts a world with processes of the given binary.
func newWorld(t testing.TB, s setup, binary string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), patientRedis: s.patientRedis}
	w.writeSecrets()
	if s.ownPostgres {
		w.postgres = stacktest.PrivatePostgres(t, store.Migrate)
		w.database = w.postgres.URL
	} else {
		w.database = stacktest.Postgres(t, store.Migrate)
	}
	if s.ownRedis {
		w.ownRedis = stacktest.PrivateRedis(t)
		w.redisAt = w.ownRedis.URL
	} else {
		w.redisAt = stacktest.Redis(t)
	}
	w.startNATS()
	t.Cleanup(func() { w.nats.Close() })
	w.wire()
	w.open()
	for i := range cmp.Or(s.ledgers, 1) {
		w.ledgers = append(w.ledgers, w.newProcess(fmt.Sprintf("ledger-%d", i+1), "ledger", binary, s.flags))
	}
	for i := range cmp.Or(s.gateways, 1) {
		w.gateways = append(w.gateways, w.newProcess(fmt.Sprintf("gateway-%d", i+1), "gateway", binary, s.flags))
	}
	w.openBank()
	for _, p := range w.processes() {
		p.launch()
	}
	for _, p := range w.processes() {
		p.await()
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range w.processes() {
				t.Logf("%s:\n%s", p.name, p.complaints())
			}
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) writeSecrets() {
	w.t.Helper()
	w.keyFile, w.secretFile = filepath.Join(w.dir, "jwt"), filepath.Join(w.dir, "webhook")
	w.must(os.WriteFile(w.keyFile, []byte("a secret of the fault suite, long enough"), 0o600))
	w.must(os.WriteFile(w.secretFile, []byte(bankSecret), 0o600))
	var err error
	w.key, err = session.LoadSigningKey(w.keyFile)
	w.must(err)
}

// startNATS starts a server and aims every link to NATS at it: clients find it where the last was.
func (w *world) startNATS() {
	w.t.Helper()
	server, err := stack.StartNATS(0)
	w.must(err)
	w.nats = server
	if w.hub != nil {
		w.hub.aim(w.natsAddress())
	}
	for _, p := range w.processes() {
		p.nats.aim(w.natsAddress())
	}
}

func (w *world) natsAddress() string { return strings.TrimPrefix(w.nats.URL(), "nats://") }

// wire opens the case's own connections.
func (w *world) wire() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var err error
	w.pool, err = store.OpenPostgres(ctx, w.database)
	w.must(err)
	w.t.Cleanup(w.pool.Close)
	w.redis, err = store.OpenRedis(ctx, w.redisAt)
	w.must(err)
	w.t.Cleanup(func() { w.redis.Close() })
	w.hub = newLink(w.t, w.natsAddress())
	w.bus, err = bus.Connect(ctx, bus.Config{URL: "nats://" + w.hub.near(), Name: "case"})
	w.must(err)
	w.t.Cleanup(w.bus.Close)
	w.cart, err = cart.New(cart.Config{Pool: w.pool, Redis: w.redis, Bus: w.bus, Provider: noCartProvider{}})
	w.must(err)
	w.gifts, err = gift.New(gift.Config{Pool: w.pool, Bus: w.bus, Provider: noGiftProvider{}})
	w.must(err)
}

// Nobody pays by the case's own hands: a call would panic.
type (
	noCartProvider struct{ cart.Provider }
	noGiftProvider struct{ gift.Provider }
)

// open makes the shop and the room and goes live.
func (w *world) open() {
	w.t.Helper()
	ctx := w.t.Context()
	rooms, err := session.NewRooms(session.RoomsConfig{Pool: w.pool, Bus: w.bus})
	w.must(err)
	w.must(w.cart.PutShop(ctx, cart.Shop{ID: shopID, Name: "Fault & Sons", Currency: "CNY"}))
	_, err = rooms.Put(ctx, &proto.Room{Id: roomID, Title: "Live", ShopId: shopID, Host: host()})
	w.must(err)
	_, err = rooms.Start(ctx, roomID, host())
	w.must(err)
}

func host() *proto.User { return &proto.User{Id: hostID, Name: "Host", Role: proto.Role_ROLE_HOST} }

// newProcess makes a process with links to the three servers, and for a gateway one before it.
func (w *world) newProcess(name, role, binary string, flags []string) *process {
	w.t.Helper()
	p := &process{w: w, name: name, role: role, binary: binary, flags: flags}
	if role == "gateway" {
		p.front = newLink(w.t, "127.0.0.1:1") // aimed when the gateway says where it listens
	}
	options, err := redis.ParseURL(w.redisAt)
	w.must(err)
	p.redis = newLink(w.t, options.Addr)
	cfg, err := pgx.ParseConfig(w.database)
	w.must(err)
	p.postgres = newLink(w.t, fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port))
	p.nats = newLink(w.t, w.natsAddress())
	w.t.Cleanup(func() { p.kill() })
	return p
}

// addGateway starts one more gateway, of a binary of its own.
func (w *world) addGateway(name, binary string) *process {
	w.t.Helper()
	g := w.newProcess(name, "gateway", binary, nil)
	w.gateways = append(w.gateways, g)
	g.start()
	return g
}

func (w *world) postgresURL(p *process) string {
	cfg, err := pgx.ParseConfig(w.database)
	w.must(err)
	query := url.Values{"sslmode": {"disable"}, "application_name": {p.name}}
	return fmt.Sprintf("postgres://%s@%s/%s?%s", cfg.User, p.postgres.near(), cfg.Database, query.Encode())
}

func (w *world) redisURL(p *process) string {
	options, err := redis.ParseURL(w.redisAt)
	w.must(err)
	address := fmt.Sprintf("redis://%s/%d", p.redis.near(), options.DB)
	if w.patientRedis {
		address += "?read_timeout=" + patience.String()
	}
	return address
}

func (w *world) processes() []*process {
	return append(append([]*process{}, w.ledgers...), w.gateways...)
}

// until waits for something that must come to be.
func (w *world) until(what string, within time.Duration, true func() bool) {
	w.t.Helper()
	within = w.give(within)
	for deadline := time.Now().Add(within); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %v in vain until %s", within, what)
		}
	}
}

// come waits for a channel to be closed.
func (w *world) come(what string, c <-chan struct{}) {
	w.t.Helper()
	within := w.give(patience)
	select {
	case <-c:
	case <-time.After(within):
		w.t.Fatalf("waited %v in vain until %s", within, what)
	}
}

// give is the time that something gets to come to be. With a mutant much is waited for in vain: half of it
// must do.
func (w *world) give(time time.Duration) time.Duration {
	if begun(w.t) {
		return time / 2
	}
	return time
}

// equal fails the case, which goes on, unless both are the same.
func (w *world) equal(what string, got, want any) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// scan reads one value from Postgres.
func scan[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%v: %s", err, sql)
	}
	return v
}

// exec changes at least one row in Postgres.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%v: %s", err, sql)
	}
}
