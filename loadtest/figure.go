package loadtest

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"livecart/proto"
)

// FigureKind says how a figure is measured and so what can be asked about it.
type FigureKind string

// The kinds of figures.
const (
	Times  FigureKind = "time"
	Counts FigureKind = "count"
	Gauges FigureKind = "gauge"
)

// MeasuredFigure describes a figure that a run may measure. A part of its name in angle brackets stands
// for many: a command as the protocol names it, a reason of refusal, a close code, or a word.
type MeasuredFigure struct {
	Name string
	Kind FigureKind
	Help string
}

// MeasuredFigures are all that runs measure, those of the server only where it is watched.
var MeasuredFigures = []MeasuredFigure{
	{"join", Times, "from the scheduled start of a handshake to the welcome"},
	{"delivery.chat", Times, "from the scheduled time of a comment to its coming to each viewer"},
	{"delivery.slow", Times, "the same at those who read slowly, whose deliveries count nowhere else"},
	{"delivery.like", Times, "from the scheduled time of a like to the first total that holds it, at up to 100 of those who stay: a total replaces the one before, a like has no event of its own"},
	{"delivery.gift", Times, "from the scheduled time of a gift to its coming to each viewer"},
	{"delivery.numbered", Times, "the same for what the host does beside sales: a product shown, a comment pinned, settings changed"},
	{"reply.<command>", Times, "from the scheduled time of a command to its outcome"},
	{"confirm", Times, "from the scheduled time of a flash_buy to the news of the order"},
	{"back", Times, "from the loss of a connection to the welcome of the one that replaced it"},
	{"lateness", Times, "how much later than scheduled the load was handed out: of this program, not of the server"},
	{"offered.<word>", Counts, "arrivals that were due"},
	{"sent.<word>", Counts, "arrivals that were sent"},
	{"ok.<command>", Counts, "commands carried out"},
	{"refused.<command>.<reason>", Counts, "commands refused"},
	{"delivered", Counts, "events that came to viewers"},
	{"frames_in", Counts, "frames that came to viewers"},
	{"bytes_in", Counts, "bytes of frames that came to viewers, before compression"},
	{"sampled", Counts, "comments told as left out for all"},
	{"skipped", Counts, "comments told as left out for one slow viewer"},
	{"slow.skipped", Counts, "those of them that were left out for viewers who read slowly on purpose"},
	{"slow.lost", Counts, "connections lost of those who read slowly on purpose"},
	{"gaps", Counts, "numbered events that did not come, to those who come and go"},
	{"reconnects", Counts, "connections that replaced a lost one"},
	{"join_failed", Counts, "handshakes that brought no welcome"},
	{"faults", Counts, "things done to the servers on purpose"},
	{"closed.<code>", Counts, "connections that the server closed, by close code"},
	{"viewers", Gauges, "connections with a welcome"},
	{"client.cpu", Gauges, "seconds of CPU that this program has used since the run began, on Linux"},
	{"client.rss", Gauges, "resident memory of this program, in bytes, on Linux"},
	{"server.cpu", Gauges, "seconds of CPU that the watched servers have used since the run began"},
	{"server.rss", Gauges, "resident memory of the watched servers, in bytes"},
	{"server.connections", Gauges, "connections as the servers count them"},
	{"server.dropped.<word>", Gauges, "comments that servers left out since the run began, by class"},
	{"server.slow_closed", Gauges, "connections that servers closed for slowness since the run began"},
	{"server.degraded", Gauges, "parts of the servers that work with less than they should"},
}

// kindOf returns the kinds that a name may have, none for a name that no run measures.
func kindOf(name string) []FigureKind {
	var kinds []FigureKind
	for _, f := range MeasuredFigures {
		if f.matches(name) && !slices.Contains(kinds, f.Kind) {
			kinds = append(kinds, f.Kind)
		}
	}
	return kinds
}

func (f MeasuredFigure) matches(name string) bool {
	want, got := strings.Split(f.Name, "."), strings.Split(name, ".")
	if len(want) != len(got) {
		return false
	}
	for i, part := range want {
		if !partMatches(part, got[i]) {
			return false
		}
	}
	return true
}

func partMatches(part, got string) bool {
	switch part {
	case "<command>":
		return slices.Contains(commandKinds, got)
	case "<reason>":
		return proto.Reason(got).Known()
	case "<code>":
		code, err := strconv.Atoi(got)
		return err == nil && code >= 1000 && code <= 4999
	case "<word>":
		return got != "" && strings.Trim(got, "abcdefghijklmnopqrstuvwxyz_") == ""
	}
	return part == got
}

// commandKinds are the protocol's commands by name.
var commandKinds = func() []string {
	var kinds []string
	fields := (&proto.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	for i := range fields.Len() {
		kinds = append(kinds, string(fields.Get(i).Name()))
	}
	return kinds
}()

// unknownFigure says that no run measures it, and what it may have meant.
func unknownFigure(name string) error {
	best, distance := "", len(name)/2+1
	for _, f := range MeasuredFigures {
		if d := edits(name, f.Name); d < distance {
			best, distance = f.Name, d
		}
	}
	head, _, _ := strings.Cut(name, ".")
	for _, f := range MeasuredFigures {
		if family, _, of := strings.Cut(f.Name, "."); of && family == head && strings.Contains(f.Name, "<") {
			best = f.Name
		}
	}
	if best == "" {
		return fmt.Errorf("no run measures %q; loadtest figures lists what is measured", name)
	}
	return fmt.Errorf("no run measures %q: did you mean %s? loadtest figures lists what is measured", name, best)
}

// edits is how many letters must be put in, taken out or replaced to make a of b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// WriteFigures writes a table of everything that runs measure and what a [Threshold] can ask about it.
func WriteFigures(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "figure\task\tmeaning\n")
	for _, f := range MeasuredFigures {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", f.Name, told(thresholdFunctions[f.Kind]), f.Help)
	}
	return tab.Flush()
}
