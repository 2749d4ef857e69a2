package loadtest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Summary is the first sentence of what the scenario is for.
func (s Scenario) Summary() string {
	first, _, _ := strings.Cut(s.Doc, ". ")
	return strings.TrimSuffix(first, ".")
}

// Write tells what the plan is for, where its numbers come from, and what they come to in its size.
func (p Plan) Write(w io.Writer) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n\n", p.Name)
	wrap(&text, p.Doc, "", "")
	text.WriteByte('\n')
	for _, source := range p.Sources {
		wrap(&text, source, "- ", "  ")
	}
	text.WriteByte('\n')
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	thousands := float64(p.Viewers) / 1000
	if p.Rooms > 0 {
		sizes := roomSizes(p.Rooms, p.Viewers, 1)
		fmt.Fprintf(tab, "rooms\t%d of log-normal sizes, sigma %g: a mean of %.4g viewers; with seed 1 the largest has %d\n",
			p.Rooms, roomSigma, float64(p.Viewers)/float64(p.Rooms), slices.Max(sizes))
		fmt.Fprintf(tab, "viewers\t%d, who come once and stay\nlength\t%v after all have come\n", p.Viewers, p.Length())
		fmt.Fprintf(tab, "comments\t%.4g a second of %d bytes in all rooms together, each room's first viewer first\n", p.Comments*thousands, p.MessageBytes)
		tab.Flush() // a buffer takes everything
		_, err := w.Write(text.Bytes())
		return err
	}
	fmt.Fprintf(tab, "viewers\t%d, of whom %d stay from before the begin to after the end and are checked in full\n", p.Viewers, p.Regulars)
	fmt.Fprintf(tab, "length\t%v\n", p.Length())
	begin, share := time.Duration(0), 0.0
	for _, stage := range p.Stages {
		fmt.Fprintf(tab, "from %v\t%s\n", begin, p.course(stage, share))
		begin, share = begin+stage.For, stage.To
	}
	if p.Stay > 0 {
		fmt.Fprintf(tab, "stays\tlog-normal, mean %v, sigma %g", p.Stay, p.StaySigma)
		if p.Returns > 0 {
			fmt.Fprintf(tab, "; %g%% of those who come have been there before", 100*p.Returns)
		}
		fmt.Fprintln(tab)
	}
	comments := p.Comments*thousands + p.Publish
	if comments > 0 {
		fmt.Fprintf(tab, "comments\t%.4g a second of %d bytes in the full room, %.4g deliveries before sampling", comments, p.MessageBytes, comments*float64(p.Viewers))
		if p.Bursts.Every > 0 {
			fmt.Fprintf(tab, "; %g times as many in the last %v of each %v", p.Bursts.Times, p.Bursts.For, p.Bursts.Every)
		}
		fmt.Fprintln(tab)
	}
	if p.Likes > 0 {
		fmt.Fprintf(tab, "likes\t%.4g a second in the full room\n", p.Likes*thousands)
	}
	if p.Gifts > 0 {
		fmt.Fprintf(tab, "gifts\t%.4g a second in the full room, by %d givers; %g%% are sent again, %g%% lose their reply\n", p.Gifts*thousands, p.Givers, 100*p.Repeats, 100*p.LostReplies)
	}
	if p.Host != (Host{}) {
		fmt.Fprintf(tab, "host\tshows a product %.4g times a minute, pins a comment %.4g times, changes the settings %.4g times\n", p.Host.Pushes, p.Host.Pins, p.Host.Settings)
	}
	if s := p.Sale; p.Pieces > 0 {
		fmt.Fprintf(tab, "sale\tof %d pieces after %v: %d attempts of %d buyers within %v, %g%% of them by bots from %v before the start\n",
			p.Pieces, s.At, p.Pieces*s.PerPiece, p.Buyers, s.Over, 100*s.Bots, botLead)
		fmt.Fprintf(tab, "\tpeople ask %d times again under the same key; %g%% of the orders are never paid\n", s.Retries, 100*s.Unpaid)
	}
	if p.Slow.Part > 0 {
		fmt.Fprintf(tab, "slow readers\t%g%% of those who come and go read %d bytes a second and only watch\n", 100*p.Slow.Part, p.Slow.Rate)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(tab, "after %v\t%s", f.At, f.name())
		if f.For > 0 {
			fmt.Fprintf(tab, " for %v", f.For)
		}
		fmt.Fprintln(tab)
	}
	if p.Reconnect && p.Within > 0 {
		fmt.Fprintf(tab, "reconnect\ton the next gateway, spread over %v, then after pauses of chance that double\n", p.Within)
	} else if p.Reconnect {
		fmt.Fprintf(tab, "reconnect\ton the next gateway, all at once, then after equal pauses that double\n")
	}
	tab.Flush() // a buffer takes everything
	_, err := w.Write(text.Bytes())
	return err
}

// course tells what a stage that begins at a share of the room does.
func (p Plan) course(stage Stage, share float64) string {
	crowd := float64(p.Viewers - p.Regulars)
	at := func(share float64) float64 { return float64(p.Regulars) + share*crowd }
	joins := max(stage.To-share, 0) * crowd / stage.For.Seconds()
	if p.Stay > 0 {
		joins += (share + stage.To) / 2 * crowd / p.Stay.Seconds()
	}
	if share == stage.To {
		return fmt.Sprintf("%v with %.0f viewers, %.4g joins a second", stage.For, at(share), joins)
	}
	return fmt.Sprintf("%v from %.0f to %.0f viewers, %.4g joins a second on average", stage.For, at(share), at(stage.To), joins)
}

// wrap writes a text in lines of up to 100 letters.
func wrap(w *bytes.Buffer, text, first, next string) {
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > 100 {
			fmt.Fprintln(w, line)
			line = next
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}
