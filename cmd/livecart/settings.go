package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// settings are what dev and serve share. Zero durations and counts stand for the documented
// defaults of the packages they go to.
type settings struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" secret:"url" help:"Postgres." placeholder:"URL"`
	RedisURL    string `name:"redis-url" env:"REDIS_URL" secret:"url" help:"Redis: redis://, rediss:// or unix://." placeholder:"URL"`
	NATSURL     string `name:"nats-url" env:"NATS_URL" secret:"url" help:"NATS, one or more addresses separated by commas." placeholder:"URL"`

	NATSPrefix string `name:"nats-prefix" env:"LIVECART_NATS_PREFIX" default:"livecart" help:"First part of every NATS subject."`
	NATSCreds  string `name:"nats-creds" env:"LIVECART_NATS_CREDS" help:"NATS credentials file." placeholder:"FILE"`
	NATSCA     string `name:"nats-ca" env:"LIVECART_NATS_CA" help:"PEM file of authorities that sign NATS servers." placeholder:"FILE"`
	NATSCert   string `name:"nats-cert" env:"LIVECART_NATS_CERT" help:"PEM client certificate for NATS." placeholder:"FILE"`
	NATSKey    string `name:"nats-key" env:"LIVECART_NATS_KEY" help:"PEM key of --nats-cert." placeholder:"FILE"`

	JWTKeyFile string `name:"jwt-key-file" env:"LIVECART_JWT_KEY_FILE" help:"HMAC secret or PEM public key that tokens are checked with." placeholder:"FILE"`
	JWKSURL    string `name:"jwks-url" env:"LIVECART_JWKS_URL" help:"Where the keys of tokens are published." placeholder:"URL"`

	SandboxURL          string `name:"sandbox-url" env:"LIVECART_SANDBOX_URL" help:"The sandbox payment provider (livecart sandbox), as gateways and ledgers reach it." placeholder:"URL"`
	WebhookAllowPrivate bool   `name:"webhook-allow-private" env:"LIVECART_WEBHOOK_ALLOW_PRIVATE" help:"Let shops' webhooks be of plain http and at loopback and private addresses."`
	WebhookSecretFile   string `name:"webhook-secret-file" env:"LIVECART_WEBHOOK_SECRET_FILE" help:"Secret (whsec_…) that calls to the payment provider and its notices are signed with." placeholder:"FILE"`

	AllowedOrigins []string      `name:"allowed-origins" env:"LIVECART_ALLOWED_ORIGINS" help:"Origins of other sites' pages that may connect, * in a host for any label."`
	RoomTick       time.Duration `name:"room-tick" env:"LIVECART_ROOM_TICK" help:"Least time between two writes to a busy room's viewers; 0 stretches with the room from 50 ms to 250 ms."`
	ChatPerViewer  int           `name:"chat-per-viewer" env:"LIVECART_CHAT_PER_VIEWER" default:"20" help:"Comments a second that each viewer gets of a busy room; 0 for all."`
	MaxConnections int           `name:"max-connections" env:"LIVECART_MAX_CONNECTIONS" help:"Connections that a gateway takes; 0 for 100,000."`
	JoinRate       int           `name:"join-rate" env:"LIVECART_JOIN_RATE" help:"Handshakes a second that a gateway takes; 0 for 5,000."`
	NoIOUring      bool          `name:"no-io-uring" env:"LIVECART_NO_IO_URING" help:"Write to each viewer by a system call of its own, where io_uring could do it for 64 at once."`
	HostGonePause  time.Duration `name:"host-gone-pause" env:"LIVECART_HOST_GONE_PAUSE" help:"After how long without its host a room pauses; negative for never."`
	HostGoneEnd    time.Duration `name:"host-gone-end" env:"LIVECART_HOST_GONE_END" help:"After how long without its host a room ends; negative for never."`
	FlashPayWindow time.Duration `name:"flash-pay-window" env:"LIVECART_FLASH_PAY_WINDOW" help:"How long an order of a flash sale waits for its payment; 0 for 5 min."`
	OrderPayWindow time.Duration `name:"order-pay-window" env:"LIVECART_ORDER_PAY_WINDOW" help:"How long an ordinary order waits for its payment; 0 for 30 min."`
	CompleteAfter  time.Duration `name:"complete-after" env:"LIVECART_COMPLETE_AFTER" help:"How long after an order was shipped it completes by itself; 0 for 10 days."`
	ReapAfter      time.Duration `name:"reap-after" env:"LIVECART_REAP_AFTER" help:"How long a flash sale keeps pieces for an attempt that nobody decides, in time in which the ledger answers; at least 1 s, 0 for 30 s."`
	DrainTimeout   time.Duration `name:"drain-timeout" env:"LIVECART_DRAIN_TIMEOUT" help:"How long a gateway spreads its viewers' moves to others when it stops."`

	GiftConfirmBeans int64 `name:"gift-confirm-beans" env:"LIVECART_GIFT_CONFIRM_BEANS" default:"10000" help:"From how many beans on senders must agree to what a gift costs; negative for never."`

	LogLevel  slog.Level `name:"log-level" env:"LIVECART_LOG_LEVEL" default:"INFO" help:"DEBUG, INFO, WARN or ERROR."`
	LogFormat string     `name:"log-format" env:"LIVECART_LOG_FORMAT" default:"text" enum:"text,json" help:"text or json."`
}

// logger writes to standard error in the chosen format.
func (s *settings) logger() *slog.Logger {
	opts := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// checkServers says which of the three servers' addresses are missing.
func (s *settings) checkServers() error {
	var missing []string
	for _, server := range []struct{ name, url string }{
		{"DATABASE_URL", s.DatabaseURL}, {"REDIS_URL", s.RedisURL}, {"NATS_URL", s.NATSURL},
	} {
		if server.url == "" {
			missing = append(missing, server.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("serve needs given servers; not set: %s (livecart dev starts its own)", strings.Join(missing, ", "))
	}
	return nil
}

// natsTLS returns the TLS settings for NATS, nil where none are given.
func (s *settings) natsTLS() (*tls.Config, error) {
	if s.NATSCA == "" && s.NATSCert == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.NATSCA != "" {
		pem, err := os.ReadFile(s.NATSCA)
		if err != nil {
			return nil, fmt.Errorf("nats authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("nats authorities: no certificate in %s", s.NATSCA)
		}
	}
	if s.NATSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.NATSCert, s.NATSKey)
		if err != nil {
			return nil, fmt.Errorf("nats client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// roles are the parts of livecart that a process plays.
type roles struct{ gateway, ledger bool }

// parseRoles reads a list like "gateway,ledger".
func parseRoles(words []string) (r roles, err error) {
	for _, w := range words {
		switch w {
		case "gateway":
			r.gateway = true
		case "ledger":
			r.ledger = true
		default:
			return r, fmt.Errorf("role %q: want gateway, ledger or both", w)
		}
	}
	if r == (roles{}) {
		return r, errors.New("at least one role is needed: gateway, ledger")
	}
	return r, nil
}
