package loadtest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// update writes golden files anew.
var update = flag.Bool("update", false, "write the golden files in testdata")

// TestMain turns this binary into an agent where a test runs it as a process.
func TestMain(m *testing.M) {
	if url := os.Getenv("LOADTEST_AGENT"); url != "" {
		if err := (Agent{NATSURL: url, Name: "child"}).Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
