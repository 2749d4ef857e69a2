package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"livecart/cart/sandbox"
)

// sandboxCommand is the payment provider to try out and to test with, as a process of its own.
type sandboxCommand struct {
	Listen     string     `help:"Address of the pay page and of the calls." default:"127.0.0.1:8079" env:"LIVECART_SANDBOX_LISTEN"`
	PublicURL  string     `name:"public-url" help:"How browsers reach it; the listener's address when empty." env:"LIVECART_SANDBOX_PUBLIC_URL" placeholder:"URL"`
	NotifyURL  string     `name:"notify-url" help:"Where notices go: a gateway's /v1/webhooks/payments/sandbox." env:"LIVECART_SANDBOX_NOTIFY_URL" placeholder:"URL"`
	SecretFile string     `name:"secret-file" help:"Secret (whsec_…) that calls and notices are signed with." env:"LIVECART_WEBHOOK_SECRET_FILE" placeholder:"FILE"`
	Data       string     `help:"Journal file, so that a restart forgets nothing; in memory alone when empty." env:"LIVECART_SANDBOX_DATA" type:"path" placeholder:"FILE"`
	Speedup    int        `help:"Divides the pauses between sendings of a notice." default:"1" env:"LIVECART_SANDBOX_SPEEDUP"`
	LogLevel   slog.Level `name:"log-level" env:"LIVECART_LOG_LEVEL" default:"INFO" help:"DEBUG, INFO, WARN or ERROR."`
	LogFormat  string     `name:"log-format" env:"LIVECART_LOG_FORMAT" default:"text" enum:"text,json" help:"text or json."`
}

// Run serves until a signal comes.
func (c *sandboxCommand) Run(ctx context.Context) error {
	if c.SecretFile == "" || c.NotifyURL == "" {
		return errors.New("sandbox: --secret-file and --notify-url are needed")
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer listener.Close()
	log := (&settings{LogLevel: c.LogLevel, LogFormat: c.LogFormat}).logger()
	p, err := c.open(listener, log)
	if err != nil {
		return err
	}
	log.Info("the sandbox payment provider serves", "address", listener.Addr().String(), "notifies", c.NotifyURL)
	return p.run(ctx)
}

// sandboxPeer is a sandbox with its listener.
type sandboxPeer struct {
	url      string
	listener net.Listener
	server   *sandbox.Server
	edge     component
}

// open wires a sandbox; it serves nobody before run.
func (c *sandboxCommand) open(listener net.Listener, log *slog.Logger) (*sandboxPeer, error) {
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return nil, err
	}
	base := c.PublicURL
	if base == "" {
		base = "http://" + reachable(listener.Addr())
	}
	server, err := sandbox.New(sandbox.Config{
		BaseURL: base, NotifyURL: c.NotifyURL, Secret: secret, Journal: c.Data, Speedup: c.Speedup, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return &sandboxPeer{base, listener, server, httpServer("sandbox listener", listener, server, log)}, nil
}

// close ends what one that never ran has opened.
func (p *sandboxPeer) close() {
	p.listener.Close()
	p.server.Close()
}

// run serves: calls and pages end before the last notices do.
func (p *sandboxPeer) run(ctx context.Context) error {
	return runStages(ctx, stage{{"sandbox notices", p.server.Run}}, stage{p.edge})
}
