package loadtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Runs and agents talk over these subjects of NATS. The run asks and the agent answers, in JSON where
// nothing else is said. Each request may be sent again, so a lost message costs a pause and no more.
//
//	loadtest.agents          Who is there? Every agent answers with its card.
//	loadtest.agent.ID.clock  What is the time? In Unix nanoseconds, a decimal number.
//	loadtest.agent.ID.take   Play for the run of the header and for no other until free.
//	loadtest.agent.ID.write  A page of the assignment; the header Offset tells where it begins.
//	loadtest.agent.ID.order  Begin a step: an order.
//	loadtest.agent.ID.look   How far is it? A state. An agent that is not asked for 10 s frees itself.
//	loadtest.agent.ID.stop   End the step that is under way and begin none but report.
//	loadtest.agent.ID.read   A page of the report from Offset on; the header Total tells how long all is.
//	loadtest.agent.ID.free   Leave the room and forget the run.
//
// Requests after take carry the header Run. A refusal has the header Error and no data. No message is
// larger than NATS takes: assignments and reports, which may be, travel in pages.
const (
	agentsSubject = "loadtest.agents"
	headerRun     = "Run"
	headerOffset  = "Offset"
	headerTotal   = "Total"
	headerError   = "Error"
	// agentProtocol is the version of all this.
	agentProtocol = 1
	// pageBytes is how long a page is where NATS takes as much, headerBytes what headers may need of it.
	pageBytes, headerBytes = 512 << 10, 1 << 10
)

func agentSubject(id, verb string) string { return "loadtest.agent." + id + "." + verb }

// pageSize is how many bytes of a page a server takes.
func pageSize(nc *nats.Conn) int { return int(max(min(nc.MaxPayload()-headerBytes, pageBytes), 1)) }

// build is what must be the same of a run and its agents, for the schedule to be the same.
type build struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Arch     string `json:"arch"` // floating point differs
}

func ownBuild() build { return build{agentProtocol, version(), runtime.GOARCH} }

func (b build) String() string { return fmt.Sprintf("%s for %s", b.Version, b.Arch) }

// card is who an agent is.
type card struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Build build  `json:"build"`
	Run   string `json:"run,omitempty"` // that has the agent
}

// assignment is what one agent plays of a run.
type assignment struct {
	Part part   `json:"part"`
	Tag  string `json:"tag"`
	// Begin is second 0 of the run by the agent's clock.
	Begin    time.Time `json:"begin"`
	Gateways []string  `json:"gateways"`
	Room     string    `json:"room"`
	// Tokens are viewers' own; Key signs those of the others.
	Tokens []string `json:"tokens,omitempty"`
	Key    []byte   `json:"key,omitempty"`
	// Authorities are certificates, in PEM, to trust beside the system's.
	Authorities []byte `json:"authorities,omitempty"`
	History     bool   `json:"history"`
	// News is how long news may take to reach everybody.
	News     time.Duration     `json:"news"`
	MostLate time.Duration     `json:"most_late"`
	Play     *playAssignment   `json:"play,omitempty"`
	Fanout   *fanoutAssignment `json:"fanout,omitempty"`
}

type playAssignment struct {
	Plan Plan   `json:"plan"`
	Seed uint64 `json:"seed"`
}

type fanoutAssignment struct {
	Viewers      int           `json:"viewers"`
	Rate         int           `json:"rate"`
	MessageBytes int           `json:"message_bytes"`
	For          time.Duration `json:"for"`
	Idle         bool          `json:"idle"`
	JoinRate     int           `json:"join_rate"`
}

// newAssignment says what the target means for agents: who is host stays with the run.
func newAssignment(t Target, tag string) (assignment, error) {
	key, err := t.secret()
	return assignment{Tag: tag, Gateways: t.Gateways, Room: t.Room, Tokens: t.ViewerTokens, Key: key, Authorities: t.authorities}, err
}

func (a assignment) target() Target {
	return Target{Gateways: a.Gateways, Room: a.Room, ViewerTokens: a.Tokens, key: a.Key, authorities: a.Authorities}
}

// order begins a step. Steps are numbered from 1, so that one that is sent again is not begun again.
type order struct {
	Step int    `json:"step"`
	Name string `json:"name"`
	// Begin is when what the step hands out begins, by the agent's clock.
	Begin time.Time `json:"begin,omitzero"`
	// SaleID is the sale that buyers go at.
	SaleID string `json:"sale_id,omitempty"`
	// Comments are those of all agents that were accepted, Head is the number of the newest numbered event.
	Comments int64 `json:"comments,omitempty"`
	Head     int64 `json:"head,omitempty"`
	// Payers are how many of the agent's buyers pay.
	Payers int `json:"payers,omitempty"`
}

// answer is what came of a step.
type answer struct {
	Comments int64 `json:"comments,omitempty"` // accepted
	Likes    int64 `json:"likes,omitempty"`    // accepted
	Orders   int   `json:"orders,omitempty"`
	// Viewers are those who are in the room, Visits all connections that were welcomed.
	Viewers int64 `json:"viewers,omitempty"`
	Visits  int64 `json:"visits,omitempty"`
}

// state is how far an agent is.
type state struct {
	Step     int      `json:"step"`
	Done     bool     `json:"done"`
	Error    string   `json:"error,omitempty"`
	Answer   answer   `json:"answer"`
	Progress Progress `json:"progress"`
}

// report is what an agent measured and was told.
type report struct {
	Meter       *Meter      `json:"meter"`
	Environment Environment `json:"environment"`
	// Invalid says why the run tells nothing about the server.
	Invalid []string `json:"invalid,omitempty"`
	// History is a history file of the agent's regulars.
	History []byte        `json:"history,omitempty"`
	Play    *playReport   `json:"play,omitempty"`
	Fanout  *fanoutReport `json:"fanout,omitempty"`
}

// connectNATS connects to the server that joins runs and agents.
func connectNATS(address, name string) (*nats.Conn, error) {
	if address == "" {
		return nil, errors.New("NATS: no address is given")
	}
	nc, err := nats.Connect(address, nats.Name(name), nats.Timeout(describeTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("NATS at %s: %w", withoutPassword(address), err)
	}
	return nc, nil
}

// withoutPassword is an address, or several, as may be shown.
func withoutPassword(addresses string) string {
	var shown []string
	for address := range strings.SplitSeq(addresses, ",") {
		u, err := url.Parse(address)
		if err != nil {
			return "its address"
		}
		if _, secret := u.User.Password(); u.User != nil && !secret { // a token
			u.User = url.User("xxxxx")
		}
		shown = append(shown, u.Redacted())
	}
	return strings.Join(shown, ",")
}

// respond answers a request in JSON, or with why not. An answer that is lost is asked for again.
func respond(m *nats.Msg, v any, err error) {
	reply := nats.NewMsg(m.Reply)
	if err == nil {
		reply.Data, err = json.Marshal(v)
	}
	if err != nil {
		reply.Data = nil
		reply.Header.Set(headerError, cmp.Or(oneLine(err.Error()), "failed"))
	}
	m.RespondMsg(reply)
}

// oneLine is a text as a header can have it.
func oneLine(text string) string {
	const most = 700
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), most)]
}
