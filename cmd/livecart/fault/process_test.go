package fault

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"livecart/session/stack"
)

// process is one livecart serve with its links. It keeps them over kill and start.
type process struct {
	w      *world
	name   string
	role   string // "gateway" or "ledger"
	binary string
	flags  []string
	// Its links to the servers; front is the clients' to a gateway, nil for a ledger.
	redis, postgres, nats, front *link

	child   *stack.Child // nil while it does not run
	log     string
	started int
	admin   string
}

// links are all of the process's own.
func (p *process) links() []*link {
	links := []*link{p.redis, p.postgres, p.nats}
	if p.front != nil {
		links = append(links, p.front)
	}
	return links
}

// start starts the process and returns when it is ready.
func (p *process) start() {
	p.w.t.Helper()
	p.launch()
	p.await()
}

// launch starts the process; await waits until it is ready.
func (p *process) launch() {
	p.w.t.Helper()
	p.started++
	p.log = filepath.Join(p.w.dir, fmt.Sprintf("%s-%d.log", p.name, p.started))
	args := append([]string{
		"serve", "--roles", p.role, "--name", p.name, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--database-url", p.w.postgresURL(p), "--redis-url", p.w.redisURL(p), "--nats-url", "nats://" + p.nats.near(),
		"--jwt-key-file", p.w.keyFile, "--log-format", "json",
		"--webhook-secret-file", p.w.secretFile, "--sandbox-url", "http://" + p.w.bank.door.near(),
	}, p.flags...)
	child, err := stack.StartChild(p.log, p.binary, args...)
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.child = child
}

func (p *process) await() {
	p.w.t.Helper()
	p.w.until(p.name+" is ready", startPatience, func() bool {
		if p.child.Ended(0) {
			p.w.t.Fatalf("%s ended at its start:\n%s", p.name, p.said())
		}
		if p.admin == "" && !p.findAddresses() {
			return false
		}
		reply, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	})
	http.DefaultClient.CloseIdleConnections()
}

// findAddresses reads from the log where the process listens, and aims its front there.
func (p *process) findAddresses() bool {
	for line := range strings.Lines(p.said()) {
		var word struct{ Msg, Public, Admin string }
		if json.Unmarshal([]byte(line), &word) != nil || word.Msg != "livecart serves" {
			continue
		}
		p.admin = word.Admin
		if p.front != nil {
			p.front.aim(word.Public)
		}
		return true
	}
	return false
}

// said is the log of the running or the last run.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// complaints are the warnings and errors of its log, the last ones.
func (p *process) complaints() string {
	var found []string
	for scan := bufio.NewScanner(strings.NewReader(p.said())); scan.Scan(); {
		if line := scan.Text(); !strings.Contains(line, `"level":"INFO"`) {
			found = append(found, line)
		}
	}
	return strings.Join(found[max(0, len(found)-8):], "\n")
}

// kill ends the process with kill -9; what it had sent and is still held is lost with it.
func (p *process) kill() {
	p.w.t.Helper()
	p.end((*stack.Child).Kill)
}

// stop ends the process in order.
func (p *process) stop() {
	p.w.t.Helper()
	p.end((*stack.Child).Stop)
}

func (p *process) end(how func(*stack.Child) error) {
	p.w.t.Helper()
	if p.child == nil {
		return
	}
	child := p.child
	p.child, p.admin = nil, ""
	if err := how(child); err != nil {
		p.w.t.Error(err)
	}
	for _, l := range p.links() {
		l.drop()
	}
}

// freeze stops the process as it stands; thaw lets it go on.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) {
	p.w.t.Helper()
	if p.child == nil {
		return
	}
	if err := p.child.Signal(s); err != nil {
		p.w.t.Error(err)
	}
}

// mend ends the faults of the process's links.
func (p *process) mend() {
	for _, l := range p.links() {
		l.mend()
	}
}

// startPatience bounds the start of a process, on a machine that is busy with others.
const startPatience = time.Minute

// patience bounds every wait for what must come.
const patience = 20 * time.Second
