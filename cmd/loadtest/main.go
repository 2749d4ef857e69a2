// Command loadtest plays a crowd of viewers against a livecart room and checks that nothing was
// lost, doubled or oversold.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitPassed = 0
	// A check or a threshold failed: the summary tells which.
	exitFailed = 1
	// The run says nothing about the server: it was called wrongly, could not be played or was interrupted.
	exitInvalid = 2
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Run a scenario and check what came of it."`
	Agent   agentCommand   `cmd:"" help:"Play viewers for runs of other machines."`
	List    listCommand    `cmd:"" help:"Name the scenarios."`
	Show    showCommand    `cmd:"" help:"Explain a scenario: what it is for, its numbers, where they come from."`
	Compare compareCommand `cmd:"" help:"Show two results side by side."`
	Check   checkCommand   `cmd:"" help:"Check a saved history again."`
	Figures figuresCommand `cmd:"" help:"List what runs measure, for thresholds."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out one command line and returns the exit code. Results go to stdout; progress and,
// in one line, what went wrong go to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	const goOn = -1
	code := goOn
	parser, err := kong.New(&commands{},
		kong.Name("loadtest"),
		kong.Description("Plays a crowd against a livecart room. Exits with 1 when a check or threshold failed, with 2 when the run says nothing about the server."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }), // --help has been printed
		kong.Bind(output{stdout, stderr}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return exitInvalid
	}
	line, err := parser.Parse(args)
	if code != goOn {
		return code
	}
	if err == nil {
		err = line.Run()
	}
	return exitCode(ctx, err, stderr)
}

// exitCode tells an error in one line and returns the code for it.
func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitPassed
	case errors.Is(err, errFailed), errors.Is(err, errViolated):
		fmt.Fprintln(stderr, "loadtest:", err)
		return exitFailed
	case ctx.Err() != nil && !errors.Is(err, errInterrupted):
		fmt.Fprintln(stderr, "loadtest:", errInterrupted)
		return exitInvalid
	}
	fmt.Fprintln(stderr, "loadtest:", err)
	return exitInvalid
}
