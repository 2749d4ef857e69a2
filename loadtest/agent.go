package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Bounds of what runs and agents take from one another.
const (
	// agentPatience is how long one may hear nothing of the other before it takes it for dead.
	agentPatience = 10 * time.Second
	maxAgentName  = 64
)

// Agent plays viewers of runs that are begun elsewhere, one run at a time.
type Agent struct {
	// NATSURL is where runs look for it: one or more nats:// or tls:// addresses, separated by commas.
	NATSURL string
	// Name is what reports call it, at most 64 bytes; host and process number when empty.
	Name string
	// Fits, if set, says why so many viewers cannot be held here.
	Fits func(viewers int) error
	// Log, if set, is told in a line what the agent does.
	Log func(line string)

	// What it takes itself for, and its clock; those of the machine when zero.
	build build
	now   func() time.Time
	// agentPatience when 0.
	patience time.Duration
}

// waiter is one running agent.
type waiter struct {
	Agent
	id string
	nc *nats.Conn

	mu   sync.Mutex
	job  *job // of the run that has the agent; nil while it waits
	idle *sync.Cond
	over bool // the agent is to end
}

// Run waits for runs and plays for them until ctx ends. Then it stops what is under way, lets the run
// fetch what was measured, and returns nil. The error is for a NATS that cannot be reached at first;
// one that is lost is looked for again for ever.
func (a Agent) Run(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "agent"
	}
	a.Name = cmp.Or(a.Name, fmt.Sprintf("%s-%d", host, os.Getpid()))
	if len(a.Name) > maxAgentName || strings.Join(strings.Fields(a.Name), " ") != a.Name {
		return fmt.Errorf("an agent's name has 1 to %d bytes in one line, not %q", maxAgentName, a.Name)
	}
	a.build, a.patience = cmp.Or(a.build, ownBuild()), cmp.Or(a.patience, agentPatience)
	if a.now == nil {
		a.now = time.Now
	}
	if a.Log == nil {
		a.Log = func(string) {}
	}
	nc, err := connectNATS(a.NATSURL, "loadtest agent "+a.Name)
	if err != nil {
		return err
	}
	w := &waiter{Agent: a, id: rand.Text()[:12], nc: nc}
	w.idle = sync.NewCond(&w.mu)
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	defer func() {
		nc.Close()
		<-closed
	}()
	for _, subject := range []string{agentsSubject, agentSubject(w.id, "*")} {
		if _, err := nc.Subscribe(subject, w.handle); err != nil {
			return fmt.Errorf("NATS: %w", err)
		}
	}
	if err := nc.FlushTimeout(describeTimeout); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	a.Log(fmt.Sprintf("agent %s waits for runs at %s", a.Name, withoutPassword(a.NATSURL)))
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { w.watch(watching) }) // ends with stop and is awaited
	<-ctx.Done()
	w.end()
	stop()
	watch.Wait()
	return nil
}

// end has the run under way stop, and waits until the run has fetched the report or is silent.
func (w *waiter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.job != nil {
		w.Log("stopping: the run may still fetch what was measured")
		w.job.stop(errors.New("the agent was stopped"))
	}
	for w.job != nil {
		w.idle.Wait()
	}
}

// watch frees the agent when its run is silent.
func (w *waiter) watch(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, w.patience/10)
		w.mu.Lock()
		if j := w.job; j != nil && !j.freed && time.Since(j.heard) > w.patience {
			w.Log(fmt.Sprintf("run %s is silent for %v: it is given up", j.run, w.patience))
			w.free(j)
		}
		w.mu.Unlock()
	}
}

// handle answers one request. NATS calls it for one after the other.
func (w *waiter) handle(m *nats.Msg) {
	verb := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	switch {
	case m.Subject == agentsSubject:
		respond(m, w.card(), nil)
		return
	case verb == "clock":
		m.Respond(strconv.AppendInt(nil, w.now().UnixNano(), 10))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	run := m.Header.Get(headerRun)
	if verb == "take" {
		respond(m, struct{}{}, w.take(run))
		return
	}
	j := w.job
	if j == nil || j.run != run {
		respond(m, nil, errors.New("it does not play for this run any more"))
		return
	}
	j.heard = time.Now()
	offset, err := strconv.Atoi(cmp.Or(m.Header.Get(headerOffset), "0"))
	if err != nil || offset < 0 {
		respond(m, nil, fmt.Errorf("%q is no offset", m.Header.Get(headerOffset)))
		return
	}
	switch verb {
	case "write":
		respond(m, struct{}{}, j.write(offset, m.Data))
	case "order":
		var o order
		err := json.Unmarshal(m.Data, &o)
		if err == nil {
			err = j.begin(w, o)
		}
		respond(m, struct{}{}, err)
	case "look":
		respond(m, j.state(), nil)
	case "stop":
		j.stop(errors.New("the run was stopped"))
		respond(m, struct{}{}, nil)
	case "read":
		reply := nats.NewMsg(m.Reply)
		reply.Header.Set(headerTotal, strconv.Itoa(len(j.report)))
		page := j.report[min(offset, len(j.report)):]
		reply.Data = page[:min(len(page), pageSize(w.nc))]
		m.RespondMsg(reply)
	case "free":
		w.free(j)
		respond(m, struct{}{}, nil)
	default:
		respond(m, nil, fmt.Errorf("unknown request %q", verb))
	}
}

func (w *waiter) card() card {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := card{ID: w.id, Name: w.Name, Build: w.build}
	if w.job != nil {
		c.Run = w.job.run
	}
	return c
}

// take binds the agent to a run, unless another has it. The caller holds mu.
func (w *waiter) take(run string) error {
	switch {
	case run == "":
		return errors.New("the run has no name")
	case w.over:
		return errors.New("it is about to end")
	case w.job == nil:
		w.Log("taken by run " + run)
		w.job = newJob(run)
	case w.job.run != run:
		return fmt.Errorf("it plays for another run (%s)", w.job.run)
	}
	return nil
}

// free ends a job in the background. The caller holds mu.
func (w *waiter) free(j *job) {
	if j.freed {
		return
	}
	j.freed = true
	j.stop(errors.New("the run has ended"))
	go func() { // ends when everybody has left; end waits for it
		j.end()
		debug.FreeOSMemory() // what the next run uses is told as its own
		w.mu.Lock()
		defer w.mu.Unlock()
		w.job = nil
		w.idle.Broadcast()
		w.Log(fmt.Sprintf("run %s is over", j.run))
	}()
}
