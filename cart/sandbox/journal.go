package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// journal is an append-only file of entries, one a line of JSON. One process may have it open.
type journal struct {
	file *os.File // nil keeps nothing
	// broken is why nothing can be written any more: a half-written line must stay the last.
	broken error
	closed bool
}

// openJournal opens or makes the file and hands every entry of it to apply. A last line that a crash
// cut short was never answered for: it is cut off. Any other line that cannot be read is an error.
func openJournal(path string, apply func(entry) error) (*journal, error) {
	if path == "" {
		return new(journal), nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sandbox: journal: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("sandbox: journal %s is in use: %w", path, err)
	}
	if err := readJournal(file, apply); err != nil {
		file.Close()
		return nil, fmt.Errorf("sandbox: journal %s: %w", path, err)
	}
	return &journal{file: file}, nil
}

func readJournal(file *os.File, apply func(entry) error) error {
	lines := bufio.NewReader(file)
	var good int64
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return nil
			}
			return file.Truncate(good)
		}
		if err != nil {
			return err
		}
		var e entry
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := apply(e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		good += int64(len(line))
	}
}

// add writes an entry. A durable one is on disk when add returns; another survives the end of the
// process, not that of the machine.
func (j *journal) add(e entry, durable bool) error {
	if j.file == nil {
		return nil
	}
	if j.broken != nil {
		return j.broken
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err = j.file.Write(append(line, '\n')); err == nil && durable {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("sandbox: journal: %w", err)
	}
	return j.broken
}

func (j *journal) close() error {
	if j.file == nil || j.closed {
		return nil
	}
	j.closed, j.broken = true, errors.New("sandbox: the journal is closed")
	return errors.Join(j.file.Sync(), j.file.Close())
}
