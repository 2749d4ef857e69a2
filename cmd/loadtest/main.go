// Command loadtest plays a crowd of viewers against a livecart room and checks that nothing was
// lost, doubled or oversold.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"livecart/loadtest"
)

// Exit codes: a check failed; the run says nothing about the server.
const (
	exitFailed  = 1
	exitInvalid = 2
)

type commands struct {
	Run runCommand `cmd:"" help:"Run a scenario and check what came of it."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	var cli commands
	line := kong.Parse(&cli,
		kong.Name("loadtest"),
		kong.Description("Plays a crowd against a livecart room. Exits with 1 when a check fails, with 2 when the run is invalid."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	err := line.Run()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "loadtest:", err)
	if errors.Is(err, errFailed) {
		os.Exit(exitFailed)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "loadtest: interrupted before the checks; nothing was judged")
	}
	if errors.Is(err, loadtest.ErrInvalid) {
		os.Exit(exitInvalid)
	}
	os.Exit(exitInvalid)
}
