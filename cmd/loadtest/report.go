package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"livecart/loadtest"
)

// What a run came to that did not pass, after the summary told why.
var (
	errFailed      = errors.New("a check or a threshold failed")
	errInvalid     = errors.New("the run is invalid: it says nothing about the server")
	errInterrupted = errors.New("interrupted, nothing was judged")
)

// reportFlags say what is watched, judged and written of a run.
type reportFlags struct {
	Threshold  []string `help:"A limit that the run must keep, such as 'p99(delivery.chat)<500ms'; may be repeated." placeholder:"LIMIT" sep:"none"`
	JSON       string   `name:"json" help:"Write the result to this file." placeholder:"FILE"`
	HTML       string   `name:"html" help:"Write a report with charts to this file; it needs no network." placeholder:"FILE"`
	ServerPID  []int    `name:"server-pid" help:"Watch the CPU and memory of this process, one of this machine's; may be repeated. A ready file names its own." placeholder:"PID"`
	MetricsURL []string `name:"metrics-url" help:"Watch this server through its admin address; may be repeated. A ready file names its own." placeholder:"URL" sep:"none"`
}

// thresholds reads the limits.
func (f reportFlags) thresholds() ([]loadtest.Threshold, error) {
	var all []loadtest.Threshold
	for _, text := range f.Threshold {
		t, err := loadtest.ParseThreshold(text)
		if err != nil {
			return nil, fmt.Errorf("--threshold: %w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

// servers are those named by flags, and where none is named those that the target names.
func (f reportFlags) servers(known loadtest.Servers) loadtest.Servers {
	if len(f.ServerPID)+len(f.MetricsURL) == 0 {
		return known
	}
	return loadtest.Servers{PIDs: f.ServerPID, MetricsURLs: f.MetricsURL}
}

// reports are the files that a run writes; none is not written.
type reports []*resultFile

// open opens the files before the run.
func (f reportFlags) open() (reports, error) {
	var all reports
	for _, file := range []struct {
		flag, path string
		write      func(*loadtest.Result, io.Writer) error
	}{{"--json", f.JSON, (*loadtest.Result).WriteJSON}, {"--html", f.HTML, (*loadtest.Result).WriteHTML}} {
		if file.path == "" {
			continue
		}
		opened, err := openResult(file.flag, file.path, file.write)
		if err != nil {
			all.drop()
			return nil, err
		}
		all = append(all, opened)
	}
	return all, nil
}

// drop removes all files.
func (all reports) drop() {
	for _, file := range all {
		file.drop()
	}
}

// tell prints the summary and writes every file, whatever becomes of the others. Its error says how the
// run came out, and what could not be written.
func (all reports) tell(result *loadtest.Result, stdout io.Writer) error {
	err := result.WriteSummary(stdout)
	for _, file := range all {
		err = errors.Join(err, file.finish(result))
	}
	switch {
	case result.Partial != "":
		err = errors.Join(errInterrupted, err)
	case len(result.Invalid) > 0:
		err = errors.Join(errInvalid, err)
	case !result.Passed:
		err = errors.Join(errFailed, err)
	}
	return err
}

// figuresCommand lists what runs measure.
type figuresCommand struct{}

// Run prints every figure with what can be asked about it.
func (figuresCommand) Run(_ context.Context, out output) error {
	return loadtest.WriteFigures(out.stdout)
}
