package main

import (
	"fmt"
	"os"
	"time"

	"livecart/loadtest"
)

// progressLine redraws one line on a terminal; elsewhere it writes a line whenever the phase changes.
type progressLine struct {
	out      *os.File
	terminal bool
	begin    time.Time
	phase    string
	drawn    bool
}

func newProgressLine(out *os.File) *progressLine {
	info, err := out.Stat()
	return &progressLine{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, begin: time.Now()}
}

func (l *progressLine) show(p loadtest.Progress) {
	if !l.terminal && p.Phase == l.phase {
		return
	}
	l.phase = p.Phase
	text := fmt.Sprintf("%5.1fs  %-18s viewers %d  comments %d  likes %d  gifts %d  attempts %d  ordered %d  paid %d",
		time.Since(l.begin).Seconds(), p.Phase, p.Viewers, p.Comments, p.Likes, p.Gifts, p.Attempts, p.Ordered, p.Paid)
	if l.terminal {
		fmt.Fprintf(l.out, "\r\x1b[K%s", text)
		l.drawn = true
		return
	}
	fmt.Fprintln(l.out, text)
}

// end leaves the line as it stands.
func (l *progressLine) end() {
	if l.drawn {
		fmt.Fprintln(l.out)
	}
}
