package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxScenarioFile is how many bytes a scenario's file has at most.
const maxScenarioFile = 1 << 20

// ReadScenario reads a scenario's file, see [ParseScenario], and of one that is too long not all.
func ReadScenario(file string) (Scenario, error) {
	from, err := os.Open(file)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxScenarioFile+1))
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return ParseScenario(file, data)
}

// ParseScenario reads a scenario's file, which is YAML, from its content. The scenario is named as the
// file is, without folder and ending. Errors name file, line and column.
func ParseScenario(file string, data []byte) (Scenario, error) {
	s := defaultScenario()
	s.Name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if len(data) > maxScenarioFile {
		return s, fmt.Errorf("%s: a scenario has at most %d bytes, this file has more", file, maxScenarioFile)
	}
	var doc, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(data))
	if err := documents.Decode(&doc); err != nil && err != io.EOF {
		return s, fmt.Errorf("%s%w", file, syntaxError(err, data))
	}
	switch err := documents.Decode(&second); {
	case err == nil:
		return s, fmt.Errorf("%s%w", file, at(&second, "a file has one scenario, here begins a second document"))
	case err != io.EOF:
		return s, fmt.Errorf("%s%w", file, syntaxError(err, data))
	}
	if len(doc.Content) == 0 {
		return s, fmt.Errorf("%s:1:1: the file says nothing", file)
	}
	if err := s.fields().read(doc.Content[0]); err != nil {
		return s, fmt.Errorf("%s%w", file, err)
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("%s%w", file, place(doc.Content[0], err))
	}
	return s, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntaxError tells where a file is no YAML. The YAML reader says the line only; the column is that at which
// the line's text begins.
func syntaxError(err error, data []byte) error {
	line, what := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		what = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	column := 1
	if lines := strings.Split(string(data), "\n"); line <= len(lines) {
		text := lines[line-1]
		column += len(text) - len(strings.TrimLeft(text, " "))
	}
	return fmt.Errorf(":%d:%d: %s", line, column, what)
}

// place gives the first of the errors that check found the place of its field.
func place(n *yaml.Node, err error) error {
	field, _ := errors.AsType[fieldError](err)
	for name := range strings.SplitSeq(field.field, ".") {
		next := child(n, name)
		if next == nil {
			break // what is wrong is that it is missing
		}
		n = next
	}
	return at(n, "%w", field)
}

// child returns a field of a mapping or an item of a list, nil where there is none.
func child(n *yaml.Node, name string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// at says what is wrong with a node.
func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf(":%d:%d: %w", n.Line, n.Column, fmt.Errorf(format, args...))
}

// reader takes one value in or says what is wrong with it.
type reader func(*yaml.Node) error

// fields reads the fields of a mapping by name.
type fields map[string]reader

func (f fields) read(n *yaml.Node) error {
	known := strings.Join(slices.Sorted(maps.Keys(f)), ", ")
	if n.Kind != yaml.MappingNode {
		return at(n, "here belong fields (%s)", known)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := f[key.Value]
		switch {
		case !ok:
			return at(key, "unknown field %q, known are %s", key.Value, known)
		case seen[key.Value]:
			return at(key, "%s is given twice", key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scenario) fields() fields {
	return fields{
		"doc":     text(&s.Doc),
		"sources": list(&s.Sources, text),
		"viewers": whole(&s.Viewers, 1, maxViewers),
		"stages": list(&s.Stages, func(stage *Stage) reader {
			return fields{"for": duration(&stage.For, minStage, maxLength), "to": share(&stage.To)}.read
		}),
		"stay":  fields{"mean": duration(&s.Stay, minStay, maxStay), "sigma": number(&s.StaySigma, 0.01, maxSigma), "returns": share(&s.Returns)}.read,
		"rates": fields{"comments": number(&s.Comments, 0, maxRate), "likes": number(&s.Likes, 0, maxRate), "gifts": number(&s.Gifts, 0, maxRate)}.read,
		"bursts": fields{
			"every": duration(&s.Bursts.Every, minStage, maxLength), "for": duration(&s.Bursts.For, minStage, maxLength), "times": number(&s.Bursts.Times, 0, maxTimes),
		}.read,
		"sale": fields{
			"at": duration(&s.Sale.At, botLead, maxLength), "over": duration(&s.Sale.Over, minStage, maxLength), "buyers": share(&s.Sale.Buyers),
			"attempts_per_piece": whole(&s.Sale.PerPiece, 1, maxPerPiece), "bots": share(&s.Sale.Bots), "unpaid": share(&s.Sale.Unpaid),
			"retries": whole(&s.Sale.Retries, 0, maxRetries),
		}.read,
		"faults": list(&s.Faults, func(f *Fault) reader {
			return fields{"at": duration(&f.At, 0, maxLength), "do": text(&f.Do), "for": duration(&f.For, minStage, maxLength), "run": text(&f.Run)}.read
		}),
		"reconnect": func(n *yaml.Node) error {
			s.Reconnect = true
			return fields{"within": duration(&s.Within, 0, maxWithin)}.read(n)
		},
		"host":          fields{"pushes": number(&s.Host.Pushes, 0, maxHostRate), "pins": number(&s.Host.Pins, 0, maxHostRate), "settings": number(&s.Host.Settings, 0, maxHostRate)}.read,
		"slow_readers":  fields{"part": share(&s.Slow.Part), "bytes_a_second": whole(&s.Slow.Rate, minReadRate, maxReadRate)}.read,
		"rooms":         whole(&s.Rooms, 1, maxRooms),
		"publish":       number(&s.Publish, 0, maxPublish),
		"givers":        share(&s.Givers),
		"repeats":       share(&s.Repeats),
		"lost_replies":  share(&s.LostReplies),
		"message_bytes": whole(&s.MessageBytes, minMessage, maxMessage),
	}
}
