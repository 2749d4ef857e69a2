package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"livecart/session/stack"
	"livecart/session/store"
)

// devCommand starts everything that a room needs.
type devCommand struct {
	settings
	Data      string   `help:"Folder for keys and server data." default:".livecart" type:"path"`
	Listen    string   `help:"Public address of the first gateway; each next one is two ports higher." default:"127.0.0.1:8080"`
	Admin     string   `help:"Admin address of the first gateway; each next one is two ports higher." default:"127.0.0.1:8081"`
	Gateways  int      `help:"How many gateways; two make the way over NATS real." default:"2"`
	Roles     []string `help:"What runs here: gateway, ledger." default:"gateway,ledger"`
	Offline   bool     `help:"Never fetch Postgres binaries."`
	ReadyFile string   `help:"Write addresses and tokens to this file as JSON once everything is ready." type:"path" placeholder:"FILE"`
	Sandbox   string   `help:"Address of the sandbox payment provider's page; any other port where it is taken." default:"127.0.0.1:8079"`
	Processes bool     `help:"Run each gateway and the ledger as a process of its own, named in the ready file; one that is killed comes back after 2 s. Their logs are in the data folder."`
	Bots      int      `help:"Bot viewers that comment, like, send gifts and buy."`

	// out takes what a person reads; standard output when nil.
	out io.Writer
	// program is what --processes runs; this one when empty.
	program string
}

// devDrain is how long dev's gateways spread their viewers' moves: a person waits for the prompt.
const devDrain = 500 * time.Millisecond

// maxGateways bounds what one dev starts.
const maxGateways = 16

// Run serves until a signal comes and then ends what it started.
func (c *devCommand) Run(ctx context.Context) (err error) {
	r, err := parseRoles(c.Roles)
	if err != nil {
		return err
	}
	if c.Gateways < 1 || c.Gateways > maxGateways {
		return fmt.Errorf("dev: --gateways must be 1 to %d", maxGateways)
	}
	if c.Bots < 0 || c.Bots > maxBots {
		return fmt.Errorf("dev: --bots must be 0 to %d", maxBots)
	}
	if c.Processes && c.Bots > 0 {
		return errors.New("dev: --bots and --processes do not go together: what is killed on purpose is for loadtest's viewers")
	}
	if c.out == nil {
		c.out = os.Stdout
	}
	say := func(line string) { fmt.Fprintln(c.out, line) }
	servers, err := stack.Start(ctx, stack.Config{
		DataDir: c.Data, NATSURL: c.NATSURL, RedisURL: c.RedisURL, DatabaseURL: c.DatabaseURL,
		PGBin: os.Getenv("LIVECART_PG_BIN"), Offline: c.Offline, Log: say,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	c.NATSURL, c.RedisURL, c.DatabaseURL = servers.NATSURL, servers.RedisURL, servers.DatabaseURL
	if err := c.makeKeys(); err != nil {
		return err
	}
	if err := store.Migrate(ctx, c.DatabaseURL); err != nil {
		return err
	}
	room, err := c.open(ctx, r, say)
	if err != nil {
		return err
	}
	return room.run(ctx, c)
}

// makeKeys makes, on the first start, the key that signs tokens and the secret that signs payment
// notices. Keys that are given stay in force.
func (c *devCommand) makeKeys() error {
	for _, k := range []struct {
		path *string
		name string
		text func([]byte) string
	}{
		{&c.JWTKeyFile, "jwt.key", hex.EncodeToString},
		{&c.WebhookSecretFile, "webhook.secret", func(b []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(b) }},
	} {
		if *k.path != "" {
			continue
		}
		*k.path = filepath.Join(c.Data, k.name)
		secret := make([]byte, 32)
		rand.Read(secret)
		err := writeNew(*k.path, []byte(k.text(secret)+"\n"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make key: %w", err)
		}
	}
	return nil
}

// writeNew writes a file for this user's eyes alone, unless there is one.
func writeNew(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// devRoom is the gateways and workers of one dev.
type devRoom struct {
	id       string
	apps     []*app        // none with --processes
	children *devProcesses // nil without
	gateways int
	peer     *sandboxPeer // nil where another sandbox is given
	public   []net.Listener
	admin    []net.Listener
	log      *slog.Logger
}

// open listens, wires the gateways and seeds the room.
func (c *devCommand) open(ctx context.Context, r roles, say func(string)) (_ *devRoom, err error) {
	room := &devRoom{log: c.logger()}
	defer func() {
		if err != nil {
			room.close()
		}
	}()
	if c.DrainTimeout == 0 {
		c.DrainTimeout = devDrain
	}
	// A shop's software to try out stands beside it.
	c.WebhookAllowPrivate = true
	// The room to try out stays live while nobody has the host's page open.
	if c.HostGonePause == 0 {
		c.HostGonePause = -1
	}
	if r.gateway {
		room.gateways = c.Gateways
	}
	public, admin := c.Listen, c.Admin
	for range max(room.gateways, 1) {
		p, a, err := listenPair(public, admin, say)
		if err != nil {
			return nil, err
		}
		room.public, room.admin = append(room.public, p), append(room.admin, a)
		if public, err = shiftPort(p.Addr().String(), 2); err != nil {
			return nil, err
		}
		if admin, err = shiftPort(a.Addr().String(), 2); err != nil {
			return nil, err
		}
		if c.anyPort() {
			public, admin = c.Listen, c.Admin
		}
	}
	if c.SandboxURL == "" {
		if room.peer, err = c.openSandbox(room, say); err != nil {
			return nil, err
		}
		c.SandboxURL = room.peer.url
	}
	if c.Processes {
		if room.children, err = c.openProcesses(r, room); err != nil {
			return nil, err
		}
		room.release()
		room.id, err = c.seed(ctx)
		return room, err
	}
	for i := range room.public {
		cfg := appConfig{settings: c.settings, name: fmt.Sprintf("dev %d", i+1), public: room.public[i], admin: room.admin[i], log: room.log.With("gateway", i+1)}
		cfg.gateway = r.gateway
		cfg.ledger = r.ledger && i == 0
		a, err := newApp(ctx, cfg)
		if err != nil {
			return nil, err
		}
		room.apps = append(room.apps, a)
	}
	room.id, err = c.seed(ctx)
	return room, err
}

// anyPort reports whether the system picks the ports.
func (c *devCommand) anyPort() bool {
	_, port, err := net.SplitHostPort(c.Listen)
	return err == nil && port == "0"
}

// openSandbox wires the sandbox of this dev, on a port of its own. It notifies the first gateway.
func (c *devCommand) openSandbox(room *devRoom, say func(string)) (*sandboxPeer, error) {
	address := c.Sandbox
	if c.anyPort() {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		say(fmt.Sprintf("%v: taking any port for the pay page", err))
		var host string
		if host, _, err = net.SplitHostPort(address); err == nil {
			listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &sandboxCommand{
		NotifyURL:  "http://" + reachable(room.public[0].Addr()) + "/v1/webhooks/payments/sandbox",
		SecretFile: c.WebhookSecretFile, Data: filepath.Join(c.Data, "sandbox.journal"),
	}
	peer, err := s.open(listener, room.log.With("part", "sandbox"))
	if err != nil {
		listener.Close()
		return nil, err
	}
	return peer, nil
}

func (d *devRoom) close() {
	if d.peer != nil {
		d.peer.close()
	}
	for _, a := range d.apps {
		a.close()
	}
	d.release()
}

// release closes the listeners, of which one that was closed already does not mind.
func (d *devRoom) release() {
	for i := range d.public {
		d.public[i].Close()
		d.admin[i].Close()
	}
}

// run serves, tells once everything is ready, and lets the bots in.
func (d *devRoom) run(ctx context.Context, c *devCommand) error {
	var provider, served stage
	if d.peer != nil {
		provider = stage{{"sandbox", d.peer.run}}
	}
	for i, a := range d.apps {
		served = append(served, component{fmt.Sprintf("gateway %d", i+1), a.run})
	}
	if d.children != nil {
		for _, p := range d.children.all {
			served = append(served, component{p.name, p.run})
		}
	}
	ready, err := c.describe(d)
	if err != nil {
		d.close()
		return err
	}
	guests := stage{{"announcement", func(ctx context.Context) error {
		if err := d.waitReady(ctx); err != nil {
			return err
		}
		if c.ReadyFile != "" {
			if d.children != nil {
				ready.Processes = d.children.told()
			}
			if err := ready.write(c.ReadyFile); err != nil {
				return err
			}
			defer os.Remove(c.ReadyFile)
		}
		ready.print(c.out)
		if d.children != nil && c.ReadyFile != "" {
			return d.follow(ctx, c, ready)
		}
		if c.Bots == 0 || len(ready.Gateways) == 0 {
			<-ctx.Done()
			return nil
		}
		return runBots(ctx, c.Bots, ready, d.log)
	}}}
	return runStages(ctx, provider, served, guests)
}

// waitReady waits until every app takes work.
func (d *devRoom) waitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var asks []func() error
	for _, a := range d.apps {
		asks = append(asks, a.ready)
	}
	if d.children != nil {
		for _, p := range d.children.all {
			asks = append(asks, func() error { return p.ready(ctx) })
		}
	}
	for _, ready := range asks {
		for ready() != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// follow keeps the ready file at the numbers of the running processes until ctx ends.
func (d *devRoom) follow(ctx context.Context, c *devCommand, ready *readyInfo) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.children.changed:
		}
		ready.Processes = d.children.told()
		if err := ready.write(c.ReadyFile); err != nil {
			return err
		}
	}
}

// seed fills an empty database with the demo and returns its room; what is there stays as it is.
func (c *devCommand) seed(ctx context.Context) (roomID string, err error) {
	s, err := openSeeder(ctx, c.settings)
	if err != nil {
		return "", err
	}
	defer s.close()
	if roomID, err = s.run(ctx); err != nil {
		return "", fmt.Errorf("seed the demo: %w", err)
	}
	return roomID, nil
}
