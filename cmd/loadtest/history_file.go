package main

import (
	"errors"
	"fmt"
	"os"

	"livecart/loadtest"
)

// historyFile is where --history goes; the zero value takes nothing.
type historyFile struct {
	file     *os.File
	recorder *loadtest.Recorder
}

// openHistory opens the file before the run, so that a place where nothing can be written is found out
// in time, and empties it. An empty path is no file.
func openHistory(path string) (historyFile, error) {
	if path == "" {
		return historyFile{}, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return historyFile{}, fmt.Errorf("--history: %w", err)
	}
	return historyFile{file: file, recorder: loadtest.NewRecorder(file)}, nil
}

// close writes what is left and closes the file.
func (h historyFile) close() error {
	if h.file == nil {
		return nil
	}
	if err := errors.Join(h.recorder.Close(), h.file.Close()); err != nil {
		return fmt.Errorf("--history: %w", err)
	}
	return nil
}
