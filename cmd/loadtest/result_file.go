package main

import (
	"errors"
	"fmt"
	"os"

	"livecart/loadtest"
)

// resultFile is where --json goes.
type resultFile struct {
	path string
	file *os.File
}

// openResult opens the file before the run, so that a place where nothing can be written is found
// out in time, and empties it, so that nobody takes an older result for this run's.
func openResult(path string) (*resultFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--json: %w", err)
	}
	return &resultFile{path: path, file: file}, nil
}

// write writes the result and closes the file.
func (f *resultFile) write(result *loadtest.Result) error {
	if err := errors.Join(result.WriteJSON(f.file), f.file.Close()); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}

// drop closes the file and removes it: there is no result. What is not a plain file stays.
func (f *resultFile) drop() {
	info, err := f.file.Stat()
	f.file.Close()
	if err == nil && info.Mode().IsRegular() {
		os.Remove(f.path)
	}
}
