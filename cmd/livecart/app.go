package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"livecart/cart"
	"livecart/chat"
	"livecart/gift"
	"livecart/proto"
	"livecart/session"
	"livecart/session/bus"
	"livecart/session/store"
)

// appConfig says what one process, or one gateway of dev, plays.
type appConfig struct {
	settings
	roles
	// name is shown by NATS and Postgres and in logs.
	name string
	// public takes viewers; needed by a gateway. admin takes operators.
	public, admin net.Listener
	log           *slog.Logger
}

// app is livecart wired together: connections to the three servers, and the roles on top of them.
type app struct {
	cfg     appConfig
	pool    *pgxpool.Pool
	redis   redis.UniversalClient
	bus     *bus.Bus
	metrics *prometheus.Registry
	parts   *parts // nil without the gateway role
	// provider takes payments and gives money back; noticeSecret is what its notices are signed with,
	// empty where there is none.
	provider     cart.Provider
	noticeSecret string

	// From the bottom up; see runStages.
	base, workers, edge stage
}

// newApp opens the connections and wires the roles. It serves nobody before run; close ends what an
// app that never ran has opened.
func newApp(ctx context.Context, cfg appConfig) (_ *app, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	a := &app{cfg: cfg, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	a.metrics.MustRegister(collectors.NewBuildInfoCollector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.pool, err = patiently(ctx, cfg.log, "Postgres", func(ctx context.Context) (*pgxpool.Pool, error) {
		return store.OpenPostgres(ctx, cfg.DatabaseURL)
	})
	if err != nil {
		return nil, err
	}
	a.redis, err = patiently(ctx, cfg.log, "Redis", func(ctx context.Context) (redis.UniversalClient, error) {
		return store.OpenRedis(ctx, cfg.RedisURL)
	})
	if err != nil {
		return nil, err
	}
	tls, err := cfg.natsTLS()
	if err != nil {
		return nil, err
	}
	a.bus, err = patiently(ctx, cfg.log, "NATS", func(ctx context.Context) (*bus.Bus, error) {
		return bus.Connect(ctx, bus.Config{
			URL: cfg.NATSURL, Prefix: cfg.NATSPrefix, Name: "livecart " + cfg.name, CredsFile: cfg.NATSCreds, TLS: tls, Log: cfg.log,
		})
	})
	if err != nil {
		return nil, err
	}
	if a.provider, a.noticeSecret, err = cfg.openProvider(); err != nil {
		return nil, err
	}
	if cfg.gateway {
		if err := a.wireGateway(); err != nil {
			return nil, err
		}
	}
	if cfg.ledger {
		if err := a.wireLedger(); err != nil {
			return nil, err
		}
	}
	if cfg.admin != nil {
		a.base = append(a.base, httpServer("admin listener", cfg.admin, adminHandler(a.metrics, a.ready), cfg.log))
	}
	return a, nil
}

func (a *app) close() {
	if a.bus != nil {
		a.bus.Close()
	}
	if a.redis != nil {
		a.redis.Close()
	}
	if a.pool != nil {
		a.pool.Close()
	}
}

// run serves until ctx ends: gateways drain first, then workers finish, then connections close.
func (a *app) run(ctx context.Context) error {
	defer a.close()
	return runStages(ctx, a.base, a.workers, a.edge)
}

// ready returns nil while this process can do its work.
func (a *app) ready() error {
	if !a.bus.Connected() {
		return bus.ErrDisconnected
	}
	if a.parts != nil {
		return a.parts.gateway.Ready()
	}
	return nil
}

// wireLedger adds the workers that decide sales and tips and move what time moves.
func (a *app) wireLedger() error {
	cfg := a.cfg
	carts, gifts := a.cartConfig(), a.giftConfig()
	if a.noticeSecret == "" {
		// Nobody can be asked about payments.
		carts.Provider, gifts.Provider = nil, nil
	}
	sales, err := cart.NewLedger(carts)
	if err != nil {
		return err
	}
	tips, err := gift.NewLedger(gifts)
	if err != nil {
		return err
	}
	rooms, err := a.newRooms(sales.EndSalesOfRoom)
	if err != nil {
		return err
	}
	watch, err := session.NewHostWatch(session.HostWatchConfig{
		Pool: a.pool, Redis: a.redis, Rooms: rooms, Log: cfg.log, PauseAfter: cfg.HostGonePause, EndAfter: cfg.HostGoneEnd,
	})
	if err != nil {
		return err
	}
	pruner, err := session.NewPruner(session.PrunerConfig{Pool: a.pool, Log: cfg.log})
	if err != nil {
		return err
	}
	a.workers = append(a.workers,
		component{"sale ledger", sales.Run}, component{"tip ledger", tips.Run},
		component{"host watch", watch.Run}, component{"pruner", pruner.Run})
	return nil
}

func (a *app) newRooms(endSales func(ctx context.Context, roomID string) error) (*session.Rooms, error) {
	return session.NewRooms(session.RoomsConfig{
		Pool: a.pool, Bus: a.bus, Log: a.cfg.log, OnEnd: []func(context.Context, string) error{endSales},
	})
}

func (a *app) cartConfig() cart.Config {
	return cart.Config{
		Pool: a.pool, Redis: a.redis, Bus: a.bus, Log: a.cfg.log, Registerer: a.metrics, Provider: a.provider, WebhookAllowPrivate: a.cfg.WebhookAllowPrivate,
		FlashPayWindow: a.cfg.FlashPayWindow, OrderPayWindow: a.cfg.OrderPayWindow, CompleteAfter: a.cfg.CompleteAfter, ReapAfter: a.cfg.ReapAfter,
	}
}

func (a *app) giftConfig() gift.Config {
	return gift.Config{
		Pool: a.pool, Bus: a.bus, Log: a.cfg.log, Registerer: a.metrics, Provider: topUpProvider{a.provider},
		ConfirmBeans: a.cfg.GiftConfirmBeans,
	}
}

// wireGateway adds what viewers, hosts and pages talk to.
func (a *app) wireGateway() error {
	cfg := a.cfg
	p := &parts{pool: a.pool, log: cfg.log}
	var err error
	if p.tickets, err = session.NewTickets(session.TicketConfig{KeyFile: cfg.JWTKeyFile, JWKSURL: cfg.JWKSURL, Log: cfg.log}); err != nil {
		return err
	}
	if p.origins, err = session.ParseOrigins(cfg.AllowedOrigins); err != nil {
		return err
	}
	p.webhookSecret = a.noticeSecret
	if p.cart, err = cart.New(a.cartConfig()); err != nil {
		return err
	}
	if p.gifts, err = gift.New(a.giftConfig()); err != nil {
		return err
	}
	if p.chat, err = chat.New(chat.Config{Pool: a.pool, Redis: a.redis, Bus: a.bus, Log: cfg.log, Registerer: a.metrics}); err != nil {
		return err
	}
	if p.rooms, err = a.newRooms(p.cart.EndSalesOfRoom); err != nil {
		return err
	}
	p.presence, err = session.NewPresence(session.PresenceConfig{
		Redis: a.redis, Pool: a.pool, Log: cfg.log, Registerer: a.metrics,
		OnStats: func(roomID string, s *proto.RoomStats) { p.gateway.ShowStats(roomID, s) },
		OnLikes: func(roomID string, l *proto.LikeTotal) { p.gateway.ShowLikes(roomID, l) },
	})
	if err != nil {
		return err
	}
	p.gateway, err = session.NewGateway(session.GatewayConfig{
		Routes:    commandRoutes(p),
		Snapshots: []func(context.Context, pgx.Tx, string, *proto.SessionWelcome) error{p.chat.Snapshot, p.cart.Snapshot},
		Selves:    []func(context.Context, pgx.Tx, string, map[string]*proto.SessionSelf) error{p.chat.Self, p.gifts.Self, p.cart.Self},
		Pool:      a.pool, Bus: a.bus, Tickets: p.tickets, Rooms: p.rooms, Presence: p.presence,
		Log: cfg.log, Registerer: a.metrics,
		RoomTick: cfg.RoomTick, ChatPerViewer: cfg.ChatPerViewer, AllowedOrigins: cfg.AllowedOrigins,
		MaxConns: maxConnections(cfg.MaxConnections, session.DefaultMaxConns, descriptorLimit(), cfg.log), JoinRate: cfg.JoinRate, DrainTimeout: cfg.DrainTimeout, NoIOUring: cfg.NoIOUring,
	})
	if err != nil {
		return err
	}
	a.parts = p
	a.workers = append(a.workers,
		component{"chat", p.chat.Run}, component{"gifts", p.gifts.Run}, component{"cart", p.cart.Run}, component{"presence", p.presence.Run})
	edge, err := a.publicEdge(p)
	if err != nil {
		return err
	}
	a.edge = append(a.edge, edge)
	return nil
}

// publicEdge serves HTTP and WebSockets. When its context ends the gateway drains its connections
// while HTTP still answers, so that viewers who move find nothing half closed.
func (a *app) publicEdge(p *parts) (component, error) {
	routes := httpRoutes(p)
	listener, err := session.HandshakeListener(a.cfg.public, routes, a.cfg.log)
	if err != nil {
		return component{}, err
	}
	server := httpServer("public listener", listener, routes, a.cfg.log)
	return component{"gateway", func(ctx context.Context) error {
		serving, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		group, failed := errgroup.WithContext(serving)
		group.Go(func() error { return server.run(serving) })
		group.Go(func() error {
			defer stop()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(failed, cancel)()
			return p.gateway.Run(ctx)
		})
		return group.Wait()
	}}, nil
}
