package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"livecart/loadtest"
)

// progressLine redraws one line on a terminal; elsewhere it writes a line whenever the phase changes.
type progressLine struct {
	out      io.Writer
	terminal bool
	begin    time.Time
	phase    string
	drawn    bool
}

func newProgressLine(out io.Writer) *progressLine {
	line := &progressLine{out: out, begin: time.Now()}
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		line.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return line
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
