package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"livecart/loadtest"
)

// resultFile is where one report goes.
type resultFile struct {
	flag, path string
	file       *os.File
	write      func(*loadtest.Result, io.Writer) error
}

// openResult opens the file before the run and writes a report that says that the run has not ended, so
// that a place where nothing can be written is found out in time, and nobody takes an older report, or
// one of a run that was killed, for this run's.
func openResult(flag, path string, write func(*loadtest.Result, io.Writer) error) (*resultFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	f := &resultFile{flag, path, file, write}
	unfinished := &loadtest.Result{Version: loadtest.ResultVersion, Partial: "the run has not ended"}
	if err := f.rewrite(unfinished); err != nil {
		f.drop()
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return f, nil
}

// rewrite replaces what the file has. What is not a plain file takes one report after the other.
func (f *resultFile) rewrite(result *loadtest.Result) error {
	if f.plain() {
		if err := f.file.Truncate(0); err != nil {
			return err
		}
		if _, err := f.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return f.write(result, f.file)
}

func (f *resultFile) plain() bool {
	info, err := f.file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// finish writes the result and closes the file.
func (f *resultFile) finish(result *loadtest.Result) error {
	if err := errors.Join(f.rewrite(result), f.file.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	return nil
}

// drop closes the file and removes it: there is no result. What is not a plain file stays.
func (f *resultFile) drop() {
	plain := f.plain()
	f.file.Close()
	if plain {
		os.Remove(f.path)
	}
}
