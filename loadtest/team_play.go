package loadtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// playTeam is a [Play] whose viewers agents play: the host and the checks stay here.
type playTeam struct {
	*playRun
	team     *team
	answers  []answer // when all had left who came and went
	played   bool     // to its end, by all
	comments int64    // accepted, of all
	invalid  []string
	machines []string // the agents'
}

// runByAgents is Run where agents play.
func (r *playRun) runByAgents(ctx context.Context) (*Result, error) {
	team, err := r.Agents.assemble(ctx)
	if err != nil {
		return nil, err
	}
	defer team.close(ctx)
	t := &playTeam{playRun: r, team: team}
	a, err := newAssignment(r.Play.Target, r.tag)
	if err != nil {
		return nil, err
	}
	a.History, a.News, a.MostLate, a.Play = r.Play.Recorder != nil, r.pace.news, r.MostLate, &playAssignment{r.Plan, r.Seed}
	if err := team.assign(ctx, r.meter.begin, a); err != nil {
		return nil, err
	}
	if told := r.Play.Progress; told != nil {
		r.smokeRun.Progress = func(p Progress) {
			sum := team.progress()
			sum.Phase = p.Phase
			told(sum)
		}
	}
	r.visitors, r.collect = new(visitors), t.fetch
	result, err := r.conduct(ctx, r.Plan.Name, []step{
		{"joining", t.join},
		{"topping up", func(ctx context.Context) error { return t.each(ctx, order{Name: fundStep}) }},
		{"playing", t.act},
		{"settling", t.settle},
		{"paying", t.sold},
		{"counting", t.count},
	}, r.checks)
	if err != nil {
		return nil, err
	}
	result.Environment.Agents = t.machines
	result.Invalid = append(result.Invalid, t.invalid...)
	return result, nil
}

// checkAgents says what agents cannot play.
func (p Play) checkAgents() error {
	if len(p.Plan.Faults) > 0 || p.Plan.Reconnect {
		return fmt.Errorf("scenario %s: faults and those who come back are played by one process, not by agents", p.Plan.Name)
	}
	return p.Agents.check(p.Plan.Viewers)
}

// each has all agents carry out an order of which nothing comes.
func (t *playTeam) each(ctx context.Context, o order) error {
	_, err := t.team.do(ctx, o, nil)
	return err
}

func (t *playTeam) join(ctx context.Context) error {
	if err := t.openHost(ctx); err != nil {
		return err
	}
	if err := t.canShow(); err != nil {
		return err
	}
	if err := t.each(ctx, order{Name: joinStep}); err != nil {
		return err
	}
	t.crowd = &crowd{meter: t.meter, audience: newAudience(t.meter)}
	return t.awaitStats(ctx)
}

// act starts the sale and has all agents begin at one moment.
func (t *playTeam) act(ctx context.Context) error {
	o := order{Name: playStep, Begin: time.Now().Add(lead)}
	if t.Plan.Pieces > 0 {
		o.Begin = o.Begin.Add(announce)
		if err := t.startSale(ctx, o.Begin.Add(t.Plan.Sale.At)); err != nil {
			return err
		}
		o.SaleID = t.sale.Id
	}
	steering, stop := context.WithCancel(ctx)
	t.acting.Go(func() { t.steer(steering, o.Begin) }) // ends with the schedule, and when an agent fails
	var err error
	if err := t.each(ctx, o); err != nil {
		stop()
		t.acting.Wait()
		return err
	}
	t.acting.Wait()
	stop()
	t.played = true
	t.answers, err = t.team.do(ctx, order{Name: leaveStep}, nil)
	for _, a := range t.answers {
		t.comments += a.Comments
		t.likes.Add(a.Likes)
	}
	return err
}

// settle waits until everybody has been told of every comment, and the host of every like.
func (t *playTeam) settle(ctx context.Context) error {
	if err := t.each(ctx, order{Name: settleStep, Comments: t.comments}); err != nil {
		return err
	}
	until(ctx, t.pace.news, func() bool { return t.host.history.likes() >= t.likesBefore+t.likes.Load() })
	return t.catchUp(ctx)
}

// catchUp waits until everybody was told of every numbered event that the host knows.
func (t *playTeam) catchUp(ctx context.Context) error {
	t.reached = t.host.history.head()
	return t.each(ctx, order{Name: headStep, Head: t.reached})
}

// count has owners ask for orders and balances, and waits until the room counts who is there.
func (t *playTeam) count(ctx context.Context) error {
	answers, err := t.team.do(ctx, order{Name: askStep}, nil)
	if err != nil {
		return err
	}
	for _, a := range answers {
		t.crowd.audience.viewers += int(a.Viewers)
		t.crowd.audience.visits += a.Visits
	}
	return t.playRun.count(ctx)
}

// sold has the buyers pay, as many as one process would, and the host stop the sale.
func (t *playTeam) sold(ctx context.Context) error {
	if t.Plan.Pieces == 0 {
		return nil
	}
	payers, orders := make([]int, len(t.answers)), 0
	upTo := func() int { return int((1 - t.Plan.Sale.Unpaid) * float64(orders)) }
	for i, a := range t.answers {
		before := upTo()
		orders += a.Orders
		payers[i] = upTo() - before
	}
	t.payers = upTo()
	if _, err := t.team.do(ctx, order{Name: payStep}, func(o *order, m *member) { o.Payers = payers[m.number()] }); err != nil {
		return err
	}
	if err := t.stop(ctx); err != nil {
		return err
	}
	until(ctx, t.pace.news, func() bool { return t.host.history.saw("flash_ended") })
	return t.catchUp(ctx)
}

// fetch takes in what all agents measured and were told.
func (t *playTeam) fetch(ctx context.Context) error {
	t.enter("gathering")
	reports, err := t.team.fetch(ctx)
	if late := punctual(t.meter, t.MostLate); late != nil { // of the host alone
		t.invalid = append(t.invalid, "the run: "+late.Error())
	}
	t.likes.Store(0)
	var regulars []personReport
	for i, r := range reports {
		if r == nil || r.Play == nil {
			continue
		}
		t.machines, t.invalid = append(t.machines, t.team.members[i].machine(r)), append(t.invalid, t.team.members[i].complain(r)...)
		t.meter.Merge(r.Meter)
		if missing := replay(r.History, t.Play.Recorder); missing != nil {
			err = cmp.Or(err, fmt.Errorf("agent %s: history: %w", t.team.members[i].card.Name, missing))
		}
		regulars = append(regulars, r.Play.People...)
	}
	if t.crowd == nil {
		return err
	}
	slices.SortFunc(regulars, func(a, b personReport) int { return a.Number - b.Number })
	people := map[string]*person{}
	for _, q := range regulars {
		p := &person{id: q.ID, history: q.History, reconnects: q.Reconnects}
		people[q.ID] = p
		t.crowd.people = append(t.crowd.people, p)
	}
	givers := min(t.Plan.Givers, len(t.crowd.people))
	t.watchers, t.gifters = t.crowd.people, t.crowd.people[:givers]
	if t.Plan.LostReplies > 0 {
		t.watchers = t.watchers[givers:]
	}
	var badOrders, badFunds []string
	for _, r := range reports {
		if r != nil && r.Play != nil {
			t.merge(r.Play, people)
			badOrders, badFunds = append(badOrders, r.Play.BadOrders...), append(badFunds, r.Play.BadFunds...)
		}
	}
	if err == nil && t.played {
		t.invalid = append(t.invalid, t.notWhole()...)
	}
	t.wrongOrders = func(context.Context) []string { return badOrders }
	t.wrongBalances = func(context.Context) []string { return badFunds }
	return err
}

// notWhole says what of the schedule was offered too often or not often enough. Agents of one build that played
// to the end leave nothing.
func (t *playTeam) notWhole() (all []string) {
	due := [kinds]int64{}
	for a := range NewSchedule(t.Plan, t.Seed).All() {
		due[a.Kind]++
	}
	for kind, n := range due {
		if got := t.meter.Total("offered." + Kind(kind).String()); got != n {
			all = append(all, fmt.Sprintf("all parts together offered %d of %v, the schedule has %d: are all agents of one build?", got, Kind(kind), n))
		}
	}
	return all
}

// merge adds what the viewers of one agent did.
func (r *playRun) merge(p *playReport, people map[string]*person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range p.Comments {
		r.comments[id] = true
	}
	for _, t := range p.Tips {
		r.tips = append(r.tips, tipRecord{sender: people[t.Sender], key: t.Key, beans: t.Beans, tipIDs: t.IDs})
	}
	for _, a := range p.Attempts {
		r.attempts = append(r.attempts, attemptRecord{buyer: people[a.Buyer], key: a.Key, reason: a.Reason, orderID: a.OrderID, paid: a.Paid, created: a.Created})
	}
	r.broken = append(r.broken, p.Broken...)
	r.likes.Add(p.Likes)
	r.refused.Add(p.Refused)
	r.paid.Add(p.Paid)
	r.attemptsN.Add(int64(len(p.Attempts)))
	r.unknown.merge(p.Unknown)
	r.visitors.failed.merge(p.Failed)
	r.visitors.lost.merge(p.Lost)
	r.visitors.gaps.merge(p.Gaps)
	r.visitors.resumed.merge(p.Resumed)
	r.visitors.forgotten.merge(p.Forgotten)
	r.visitors.caughtUp.Add(p.CaughtUp)
}

// replay writes a history to a recorder, nil for nobody.
func replay(history []byte, to *Recorder) error {
	if to == nil {
		return nil
	}
	records, err := ReadRecords(bytes.NewReader(history))
	for _, record := range records {
		to.Add(record)
	}
	return err
}

// machine says what an agent ran on.
func (m *member) machine(r *report) string {
	e := r.Environment
	return fmt.Sprintf("%s: %s, %s, %s %s, clock %+.1f ms", m.card.Name, e.CPU, e.OS, e.Version, e.Go, milliseconds(m.skew.Microseconds()))
}

// complain says why an agent's part tells nothing about the server.
func (m *member) complain(r *report) (all []string) {
	for _, why := range r.Invalid {
		all = append(all, fmt.Sprintf("agent %s: %s", m.card.Name, why))
	}
	return all
}
