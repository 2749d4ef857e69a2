package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"livecart/loadtest"
)

// output is where a command writes.
type output struct{ stdout, stderr io.Writer }

// runCommand runs one scenario.
type runCommand struct {
	Scenario string `arg:"" help:"One that loadtest list names, or a file."`

	ReadyFile   string   `help:"What livecart dev --ready-file wrote." placeholder:"FILE" xor:"target" required:""`
	URL         []string `name:"url" help:"Gateways, instead of a ready file." placeholder:"URL" xor:"target" required:""`
	Room        string   `help:"The room, with --url; demo by default." placeholder:"ID"`
	HostToken   string   `help:"A host's token, with --url." env:"LIVECART_HOST_TOKEN" placeholder:"TOKEN"`
	TokensFile  string   `help:"One viewer's token a line, with --url." placeholder:"FILE"`
	JWTKeyFile  string   `name:"jwt-key-file" help:"HMAC secret to make viewers' tokens with, with --url." env:"LIVECART_JWT_KEY_FILE" placeholder:"FILE"`
	CAFile      string   `name:"ca-file" help:"PEM certificates of authorities to trust beside the system's, with --url; a gateway's own where it signed itself." placeholder:"FILE"`
	DatabaseURL string   `name:"database-url" help:"Postgres to check the records in, with --url; it is only read." env:"DATABASE_URL" placeholder:"URL"`

	Viewers  *int          `help:"How many viewers there are in the full room; 200 in smoke, else the scenario's own number by default." placeholder:"N"`
	Rooms    *int          `help:"How many rooms, where the scenario has many; as many as give each the scenario's mean of viewers by default." placeholder:"N"`
	Pieces   *int          `help:"Pieces of smoke's flash sale, at most one a viewer; 50 by default." placeholder:"N"`
	Attempts *int          `help:"Attempts for each piece of smoke's; 10 by default." placeholder:"N"`
	For      time.Duration `help:"How long the stages of a scenario take together; its own length by default." placeholder:"TIME"`
	Seed     *uint64       `help:"What the schedule is drawn from: the same seed gives the same schedule; 1 by default." placeholder:"N"`
	MostLate time.Duration `help:"A run is invalid when one of a hundred arrivals is handed out later than this; 50ms by default." placeholder:"TIME"`
	Fault    []string      `name:"fault-command" help:"How a fault of the scenario is done, such as 'kill gateway 2=docker kill gw2'; may be repeated. A ready file of livecart dev --processes needs none." placeholder:"FAULT=COMMAND" sep:"none"`
	History  string        `name:"history" help:"Write what each client asked and was told to this file, for livecart audit --history." placeholder:"FILE"`

	agentFlags
	fanoutFlags
	reportFlags
}

// Run plays the scenario, prints the summary and fails when a check or a threshold did.
func (c *runCommand) Run(ctx context.Context, out output) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	fanout, err := c.fanout(c.Scenario, plan, c.For, c.MostLate, c.Seed != nil || c.History != "")
	if err != nil {
		return err
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
	if target.FaultCommands, err = c.faultCommands(); err != nil {
		return err
	}
	agents, err := c.agents(c.Scenario, target)
	if err != nil {
		return err
	}
	viewers := given(c.Viewers, 200)
	switch {
	case agents.Count > 0:
		viewers = 0 // of this process
	case fanout != nil:
		viewers = fanout.Viewers
	case plan != nil && plan.Rooms > 0:
		viewers = plan.Viewers
	case plan != nil:
		viewers = plan.MostViewers()
	}
	if err := checkDescriptors(viewers); err != nil {
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
	result, err := c.play(ctx, plan, fanout, agents, target, thresholds, history.recorder, out.stderr)
	// What was asked of the server stays worth checking where the run says nothing.
	err = errors.Join(err, history.close())
	if result == nil {
		files.drop()
		return err
	}
	return errors.Join(files.tell(result, out.stdout), err)
}

func (c *runCommand) play(ctx context.Context, plan *loadtest.Plan, fanout *loadtest.Fanout, agents loadtest.Agents, target loadtest.Target, thresholds []loadtest.Threshold, recorder *loadtest.Recorder, progress io.Writer) (*loadtest.Result, error) {
	line := newProgressLine(progress)
	defer line.end()
	if plan != nil && plan.Rooms > 0 {
		rooms := plan.OverRooms()
		rooms.Target, rooms.Seed, rooms.MostLate, rooms.Thresholds, rooms.Progress = target, given(c.Seed, 1), c.MostLate, thresholds, line.show
		return rooms.Run(ctx)
	}
	if fanout != nil {
		fanout.Target, fanout.Agents, fanout.Thresholds, fanout.Progress = target, agents, thresholds, line.show
		return fanout.Run(ctx)
	}
	var auditing func(context.Context) ([]string, error)
	if target.DatabaseURL != "" {
		auditing = func(ctx context.Context) ([]string, error) { return audit(ctx, target.DatabaseURL) }
	}
	if plan != nil {
		return loadtest.Play{
			Plan: *plan, Seed: given(c.Seed, 1), Target: target, Agents: agents, MostLate: c.MostLate, Thresholds: thresholds, Audit: auditing, Recorder: recorder, Progress: line.show,
		}.Run(ctx)
	}
	return loadtest.Smoke{
		Target: target, Viewers: given(c.Viewers, 200), Pieces: given(c.Pieces, 50), AttemptsPerPiece: given(c.Attempts, 10),
		Thresholds: thresholds, Audit: auditing, Recorder: recorder, Progress: line.show,
	}.Run(ctx)
}

// faultCommands reads how faults are done.
func (c *runCommand) faultCommands() (map[string]string, error) {
	if len(c.Fault) > 0 && (c.Scenario == smokeName || c.Scenario == fanoutName) {
		return nil, errors.New("--fault-command is for scenarios with faults")
	}
	commands := map[string]string{}
	for _, text := range c.Fault {
		fault, command, ok := strings.Cut(text, "=")
		if fault, command = strings.TrimSpace(fault), strings.TrimSpace(command); !ok || fault == "" || command == "" {
			return nil, fmt.Errorf("--fault-command: %q is not FAULT=COMMAND", text)
		}
		if _, twice := commands[fault]; twice {
			return nil, fmt.Errorf("--fault-command: %s is given twice", fault)
		}
		commands[fault] = command
	}
	return commands, nil
}

// target reads the ready file or what is given in its place. Variables of the environment that a
// ready file makes needless are not looked at; flags that it makes needless are refused.
func (c *runCommand) target() (loadtest.Target, error) {
	if c.ReadyFile != "" {
		if c.Room != "" || c.TokensFile != "" || c.CAFile != "" {
			return loadtest.Target{}, errors.New("--room, --tokens-file and --ca-file go with --url: a ready file says which room and who joins")
		}
		return loadtest.ReadTarget(c.ReadyFile)
	}
	t := loadtest.Target{Gateways: c.URL, Room: c.Room, HostToken: c.HostToken, JWTKeyFile: c.JWTKeyFile, CAFile: c.CAFile, DatabaseURL: c.DatabaseURL}
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
		var err error
		if t.ViewerTokens, err = readTokens(c.TokensFile); err != nil {
			return t, fmt.Errorf("--tokens-file: %w", err)
		}
	}
	return t, nil
}

func readTokens(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tokens, err := loadtest.ReadTokens(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tokens, nil
}
