package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// member is one agent as its run sees it.
type member struct {
	card card
	team *team
	// skew is how far its clock is ahead of the run's.
	skew     time.Duration
	progress atomic.Pointer[Progress]
	dead     atomic.Bool // it was silent for too long
}

// errRefused is an answer that says no: asking again changes nothing.
type errRefused string

func (e errRefused) Error() string { return string(e) }

func (m *member) number() int { return slices.Index(m.team.members, m) }

// clock tells a moment of the run by the agent's clock.
func (m *member) clock(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(m.skew)
}

// ask sends a request until there is an answer, as long as the run is patient.
func (m *member) ask(ctx context.Context, verb string, offset int, data []byte) (*nats.Msg, error) {
	for begin := time.Now(); ; pause(ctx, lookInterval) {
		request := nats.NewMsg(agentSubject(m.card.ID, verb))
		request.Header.Set(headerRun, m.team.run)
		request.Header.Set(headerOffset, strconv.Itoa(offset))
		request.Data = data
		try, cancel := context.WithTimeout(ctx, tryTime)
		reply, err := m.team.nc.RequestMsgWithContext(try, request)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			if no := reply.Header.Get(headerError); no != "" {
				return nil, errRefused(no)
			}
			return reply, nil
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrMaxPayload):
			return nil, err
		case time.Since(begin) > m.team.patience:
			m.dead.Store(true)
			return nil, fmt.Errorf("it does not answer any more, for %v: %w", m.team.patience, err)
		}
	}
}

// compareClocks finds out how far the agent's clock is off, by the request that was answered most quickly.
func (m *member) compareClocks(ctx context.Context) error {
	quickest := time.Duration(-1)
	for range clockRounds {
		sent := time.Now()
		reply, err := m.ask(ctx, "clock", 0, nil)
		if err != nil {
			return err
		}
		took := time.Since(sent)
		told, err := strconv.ParseInt(string(reply.Data), 10, 64)
		if err != nil {
			return fmt.Errorf("its clock says %q", reply.Data)
		}
		if quickest < 0 || took < quickest {
			quickest, m.skew = took, time.Unix(0, told).Sub(sent.Add(took/2))
		}
	}
	return skewed(m.skew, quickest)
}

// skewed says that a clock is too far off, with certainty, if it took so long to ask.
func skewed(skew, took time.Duration) error {
	if skew.Abs()-took/2 <= mostSkew {
		return nil
	}
	where := "ahead of"
	if skew < 0 {
		where = "behind"
	}
	return fmt.Errorf("its clock is %v %s that of this machine, %v are allowed: let both be set by NTP", skew.Abs().Round(time.Millisecond), where, mostSkew)
}

// write sends the assignment, page by page.
func (m *member) write(ctx context.Context, data []byte) error {
	for offset, size := 0, pageSize(m.team.nc); offset < len(data); offset += size {
		if _, err := m.ask(ctx, "write", offset, data[offset:min(offset+size, len(data))]); err != nil {
			return err
		}
	}
	return nil
}

// read fetches the report, page by page.
func (m *member) read(ctx context.Context) (data []byte, err error) {
	for total := 1; len(data) < total; {
		reply, err := m.ask(ctx, "read", len(data), nil)
		if err != nil {
			return nil, err
		}
		if total, err = strconv.Atoi(reply.Header.Get(headerTotal)); err != nil || len(reply.Data) == 0 {
			return nil, errors.New("its report has no length")
		}
		data = append(data, reply.Data...)
	}
	return data, nil
}

// carryOut gives an order and waits until it is done.
func (m *member) carryOut(ctx context.Context, o order) (answer, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := m.ask(ctx, "order", 0, data); err != nil {
		return answer{}, err
	}
	for {
		reply, err := m.ask(ctx, "look", 0, nil)
		if err != nil {
			return answer{}, err
		}
		var s state
		if err := json.Unmarshal(reply.Data, &s); err != nil {
			return answer{}, err
		}
		m.progress.Store(&s.Progress)
		if s.Step == o.Step && s.Done {
			if s.Error != "" {
				return s.Answer, errRefused(s.Error)
			}
			return s.Answer, nil
		}
		pause(ctx, lookInterval)
	}
}

// fetch ends what is under way and returns the report.
func (m *member) fetch(ctx context.Context) (*report, error) {
	if m.dead.Load() {
		return nil, errors.New("it is gone")
	}
	if _, err := m.ask(ctx, "stop", 0, nil); err != nil {
		return nil, err
	}
	// A step under way ends first; whichever it was, the report is the next one.
	var s state
	for {
		reply, err := m.ask(ctx, "look", 0, nil)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(reply.Data, &s); err != nil {
			return nil, err
		}
		if s.Done {
			break
		}
		pause(ctx, lookInterval)
	}
	if _, err := m.carryOut(ctx, order{Step: s.Step + 1, Name: reportStep}); err != nil {
		return nil, err
	}
	data, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Meter: NewMeter(time.Time{})}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("its report cannot be read: %w", err)
	}
	return r, nil
}
