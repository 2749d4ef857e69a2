// Command livecart is the whole service in one binary: a room to try out (dev), the production
// roles (serve), and what an operator needs around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"
)

// commands is the command line. Each command's settings come from, in rising order: defaults, the
// file named by --config (JSON), the environment, flags.
type commands struct {
	ConfigFile kong.ConfigFlag `name:"config" help:"JSON file of settings, by flag name." env:"LIVECART_CONFIG" placeholder:"FILE"`

	Dev     devCommand     `cmd:"" help:"Start a whole room to try out: servers, gateways, a demo shop."`
	Serve   serveCommand   `cmd:"" help:"Serve against given NATS, Redis and Postgres."`
	Migrate migrateCommand `cmd:"" help:"Bring the database to this build's schema."`
	Token   tokenCommand   `cmd:"" help:"Mint a token."`
	Audit   auditCommand   `cmd:"" help:"Check every invariant of orders, stock, tips and events; exit 1 on a violation."`
	Doctor  doctorCommand  `cmd:"" help:"Tell what this machine has and what is missing."`
	Health  healthCommand  `cmd:"" help:"Ask a running process whether it is ready; exit 1 when it is not."`
	Sandbox sandboxCommand `cmd:"" help:"Play a payment provider to try out and to test with."`
	Config  configCommand  `cmd:"" name:"config" help:"Print the settings in force, secrets masked."`
}

// errViolated ends the process with status 1 after everything has been said.
var errViolated = errors.New("not everything holds")

// quiet is a logger that says nothing.
type quiet struct{}

// Printf implements the Redis client's logger.
func (quiet) Printf(context.Context, string, ...any) {}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	// The parts that miss a lost Redis say so once; the client would print each failed dial.
	redis.SetLogger(quiet{})

	var cli commands
	line := kong.Parse(&cli,
		kong.Name("livecart"),
		kong.Description("Live-commerce rooms: comments, gifts, flash sales and orders around a video."),
		kong.Configuration(readSettingsFile),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	switch err := line.Run(); {
	case errors.Is(err, errViolated):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "livecart:", err)
		os.Exit(1)
	}
}
