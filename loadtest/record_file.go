package loadtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MaxRecordBytes bounds a line of a history file, its newline not counted. A record of the longest
// ids takes less than half of it.
const MaxRecordBytes = 8 << 10

// Recorder writes a history file, a line at a time. Safe for concurrent use. Nothing is flushed
// before Close but what the buffer cannot hold.
type Recorder struct {
	mu  sync.Mutex
	out *bufio.Writer
	err error
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{out: bufio.NewWriter(w)} }

// Add writes one record. The first error is kept for Close; nothing is written after it.
func (r *Recorder) Add(record Record) {
	line, err := json.Marshal(record)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	r.err = err
}

// Close writes what the buffer holds and returns the first error there was. It does not close the
// writer below.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.out.Flush())
}

// WriteRecords writes a whole history file: one JSON object a line.
func WriteRecords(w io.Writer, records []Record) error {
	r := NewRecorder(w)
	for _, record := range records {
		r.Add(record)
	}
	return r.Close()
}

// ReadRecords reads a history file. The first line that is no record (malformed JSON, an unknown field,
// kind or outcome, fields that contradict each other, more than [MaxRecordBytes]) is an error that
// names its number; a last line that was cut off is one too.
func ReadRecords(r io.Reader) ([]Record, error) {
	lines := bufio.NewScanner(r)
	// The scanner wants room for the line's end beside the line.
	lines.Buffer(make([]byte, 0, MaxRecordBytes), MaxRecordBytes+2)
	var records []Record
	for lines.Scan() {
		record, err := parseRecord(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(records)+1, err)
		}
		records = append(records, record)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: %w", len(records)+1, errLongLine)
	} else if err != nil {
		return nil, fmt.Errorf("after line %d: %w", len(records), err)
	}
	return records, nil
}

var errLongLine = fmt.Errorf("a line has at most %d bytes", MaxRecordBytes)

func parseRecord(line []byte) (Record, error) {
	var record Record
	if len(line) > MaxRecordBytes {
		return record, errLongLine
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&record); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the line is empty")
		}
		return record, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return record, errors.New("there is more than one object on the line")
	}
	return record, record.check()
}
