package loadtest

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// update writes golden files anew.
var update = flag.Bool("update", false, "write the golden files in testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
