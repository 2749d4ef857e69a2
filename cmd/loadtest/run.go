package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"livecart/loadtest"
)

// output is where a command writes.
type output struct{ stdout, stderr io.Writer }

// runCommand runs one scenario.
type runCommand struct {
	Scenario string `arg:"" enum:"smoke" help:"Which one: smoke."`

	ReadyFile   string   `help:"What livecart dev --ready-file wrote." placeholder:"FILE" xor:"target" required:""`
	URL         []string `name:"url" help:"Gateways, instead of a ready file." placeholder:"URL" xor:"target" required:""`
	Room        string   `help:"The room, with --url; demo by default." placeholder:"ID"`
	HostToken   string   `help:"A host's token, with --url." env:"LIVECART_HOST_TOKEN" placeholder:"TOKEN"`
	TokensFile  string   `help:"One viewer's token a line, with --url." placeholder:"FILE"`
	JWTKeyFile  string   `name:"jwt-key-file" help:"HMAC secret to make viewers' tokens with, with --url." env:"LIVECART_JWT_KEY_FILE" placeholder:"FILE"`
	DatabaseURL string   `name:"database-url" help:"Postgres to check the records in, with --url; it is only read." env:"DATABASE_URL" placeholder:"URL"`

	Viewers  int    `help:"How many join." default:"200"`
	Pieces   int    `help:"Pieces of the flash sale, at most one a viewer." default:"50"`
	Attempts int    `help:"Attempts for each piece." default:"10"`
	History  string `name:"history" help:"Write what each client asked and was told to this file, for livecart audit --history." placeholder:"FILE"`

	reportFlags
}

// Run plays the scenario, prints the summary and fails when a check or a threshold did.
func (c *runCommand) Run(ctx context.Context, out output) error {
	if min(c.Viewers, c.Pieces, c.Attempts) < 1 {
		return errors.New("--viewers, --pieces and --attempts are above 0")
	}
	thresholds, err := c.thresholds()
	if err != nil {
		return err
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	target.Servers = c.servers(target.Servers)
	if err := checkDescriptors(c.Viewers); err != nil {
		return err
	}
	history, err := openHistory(c.History)
	if err != nil {
		return err
	}
	files, err := c.open()
	if err != nil {
		return errors.Join(err, history.close())
	}
	result, err := c.play(ctx, target, thresholds, history.recorder, out.stderr)
	// What was asked of the server stays worth checking where the run says nothing.
	err = errors.Join(err, history.close())
	if result == nil {
		files.drop()
		return err
	}
	return errors.Join(files.tell(result, out.stdout), err)
}

func (c *runCommand) play(ctx context.Context, target loadtest.Target, thresholds []loadtest.Threshold, recorder *loadtest.Recorder, progress io.Writer) (*loadtest.Result, error) {
	line := newProgressLine(progress)
	defer line.end()
	smoke := loadtest.Smoke{Target: target, Viewers: c.Viewers, Pieces: c.Pieces, AttemptsPerPiece: c.Attempts, Thresholds: thresholds, Recorder: recorder, Progress: line.show}
	if target.DatabaseURL != "" {
		smoke.Audit = func(ctx context.Context) ([]string, error) { return audit(ctx, target.DatabaseURL) }
	}
	return smoke.Run(ctx)
}

// target reads the ready file or what is given in its place. Variables of the environment that a
// ready file makes needless are not looked at; flags that it makes needless are refused.
func (c *runCommand) target() (loadtest.Target, error) {
	if c.ReadyFile != "" {
		if c.Room != "" || c.TokensFile != "" {
			return loadtest.Target{}, errors.New("--room and --tokens-file go with --url: a ready file says which room and who joins")
		}
		return loadtest.ReadTarget(c.ReadyFile)
	}
	t := loadtest.Target{Gateways: c.URL, Room: c.Room, HostToken: c.HostToken, JWTKeyFile: c.JWTKeyFile, DatabaseURL: c.DatabaseURL}
	if t.Room == "" {
		t.Room = "demo"
	}
	if t.HostToken == "" {
		return t, errors.New("with --url a host's token is needed: --host-token or LIVECART_HOST_TOKEN")
	}
	if c.TokensFile == "" && c.JWTKeyFile == "" {
		return t, errors.New("with --url viewers need tokens: --tokens-file, or --jwt-key-file to make them")
	}
	if c.TokensFile != "" {
		data, err := os.ReadFile(c.TokensFile)
		if err != nil {
			return t, fmt.Errorf("--tokens-file: %w", err)
		}
		t.ViewerTokens = strings.Fields(string(data))
	}
	return t, nil
}
