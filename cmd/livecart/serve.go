package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// serveCommand is production: chosen roles against given servers.
type serveCommand struct {
	settings
	Roles  []string `help:"gateway (viewers and HTTP), ledger (decides sales and tips), or both." default:"gateway,ledger" env:"LIVECART_ROLES"`
	Listen string   `help:"Public address." default:":8080" env:"LIVECART_LISTEN"`
	Admin  string   `help:"Admin address: health, metrics, profiles." default:"127.0.0.1:8081" env:"LIVECART_ADMIN"`
	Name   string   `help:"Name of this process in NATS." default:"serve" env:"LIVECART_NAME"`
}

// Run serves until a signal comes.
func (c *serveCommand) Run(ctx context.Context) error {
	r, err := parseRoles(c.Roles)
	if err != nil {
		return err
	}
	if err := c.checkServers(); err != nil {
		return err
	}
	if r.gateway && c.JWTKeyFile == "" && c.JWKSURL == "" {
		return errors.New("a gateway needs the key that tokens are checked with: set LIVECART_JWT_KEY_FILE or LIVECART_JWKS_URL")
	}
	cfg := appConfig{settings: c.settings, roles: r, name: c.Name, log: c.logger()}
	if cfg.admin, err = net.Listen("tcp", c.Admin); err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	defer cfg.admin.Close()
	if r.gateway {
		if cfg.public, err = net.Listen("tcp", c.Listen); err != nil {
			return fmt.Errorf("public listener: %w", err)
		}
		defer cfg.public.Close()
	}
	a, err := newApp(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.log.Info("livecart serves", "roles", c.Roles, "public", addressOf(cfg.public), "admin", addressOf(cfg.admin))
	return a.run(ctx)
}

func addressOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}
