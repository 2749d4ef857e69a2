package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"livecart/session/stack"
)

const (
	// comeBackAfter is how long a process of dev that has ended stays away, as under a supervisor.
	comeBackAfter = 2 * time.Second
	// endPoll is how often dev looks whether a process has ended.
	endPoll = 100 * time.Millisecond
)

// devProcesses are the gateways and the ledger of a dev as processes of their own.
type devProcesses struct {
	all []*devProcess
	// Has one entry while somebody came or went.
	changed chan struct{}
}

// devProcess is one livecart serve beside dev, which starts it again whenever it ends.
type devProcess struct {
	name    string // "gateway 2", "ledger"
	program string
	args    []string
	log     string
	admin   string
	changed chan struct{}

	mu  sync.Mutex
	pid int // 0 while it does not run
	// Whether it ever took work: a process that ends before that will not do better the next time.
	served bool
}

// openProcesses describes the processes; they listen where room does, which gives the addresses up.
func (c *devCommand) openProcesses(r roles, room *devRoom) (*devProcesses, error) {
	program := c.program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("own program: %w", err)
		}
	}
	program, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil, fmt.Errorf("own program: %w", err)
	}
	settings, err := c.writeSettings()
	if err != nil {
		return nil, err
	}
	ps := &devProcesses{changed: make(chan struct{}, 1)}
	add := func(name, role, public, admin string) {
		ps.all = append(ps.all, &devProcess{
			name: name, program: program, admin: admin, changed: ps.changed, log: filepath.Join(c.Data, strings.ReplaceAll(name, " ", "-")+".log"),
			args: []string{"--config", settings, "serve", "--roles", role, "--name", "dev " + name, "--listen", public, "--admin", admin},
		})
	}
	for i := range room.public {
		admin := room.admin[i].Addr().String()
		if r.gateway {
			add(fmt.Sprintf("gateway %d", i+1), "gateway", room.public[i].Addr().String(), admin)
		}
	}
	if r.ledger {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		room.admin, room.public = append(room.admin, l), append(room.public, l) // closed with the others
		add("ledger", "ledger", "", l.Addr().String())
	}
	return ps, nil
}

// writeSettings writes the settings in force for the processes, which get nothing of our environment.
func (c *devCommand) writeSettings() (path string, err error) {
	s := c.settings
	for _, file := range []*string{&s.JWTKeyFile, &s.WebhookSecretFile, &s.NATSCreds, &s.NATSCA, &s.NATSCert, &s.NATSKey} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(named(s, func(url string) string { return url }))
	if err != nil {
		return "", err
	}
	path = filepath.Join(c.Data, "serve.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("settings of the processes: %w", err)
	}
	return path, nil
}

// told are the processes as the ready file names them.
func (ps *devProcesses) told() []readyProcess {
	list := []readyProcess{}
	for _, p := range ps.all {
		p.mu.Lock()
		list = append(list, readyProcess{p.name, p.pid, p.program})
		p.mu.Unlock()
	}
	return list
}

// run keeps the process running until ctx ends, and then ends it in order.
func (p *devProcess) run(ctx context.Context) error {
	for {
		child, err := stack.StartChild(p.log, p.program, p.args...)
		if err != nil {
			return err
		}
		p.is(child.PID())
		for !child.Ended(endPoll) {
			if ctx.Err() != nil {
				p.is(0)
				return child.Stop()
			}
		}
		p.is(0)
		if err := child.Stop(); err != nil {
			return err
		}
		p.mu.Lock()
		served := p.served
		p.mu.Unlock()
		if !served && ctx.Err() == nil {
			return fmt.Errorf("it ended at its start: see %s", p.log)
		}
		pause := time.NewTimer(comeBackAfter)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// is notes the number of the running process.
func (p *devProcess) is(pid int) {
	p.mu.Lock()
	p.pid = pid
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// ready asks the process whether it takes work.
func (p *devProcess) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/readyz", nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = true
	return nil
}
