package main

import (
	"fmt"
	"os"

	"livecart/loadtest"
)

// compareCommand shows two results side by side.
type compareCommand struct {
	A string `arg:"" help:"A result, as run --json wrote it." placeholder:"A.json"`
	B string `arg:"" help:"The result that is told as a multiple of A." placeholder:"B.json"`
}

// Run prints the comparison. It fails only when a file cannot be read: which one is better is not its
// to say.
func (c compareCommand) Run(out output) error {
	a, err := readResult(c.A)
	if err != nil {
		return err
	}
	b, err := readResult(c.B)
	if err != nil {
		return err
	}
	return loadtest.WriteComparison(out.stdout, a, b)
}

func readResult(path string) (*loadtest.Result, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	result, err := loadtest.ReadResult(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return result, nil
}
