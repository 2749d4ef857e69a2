package fault

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var (
	long     = flag.Bool("long", false, "run random faults under load as well")
	longFor  = flag.Duration("for", longDefault, "how long -long goes on")
	seed     = flag.Uint64("seed", 0, "seed of -long; 0 for a random one")
	mutating = flag.String("mutants", "", `"all" runs every mutant against every case; a mutant's name runs that one so; "control" runs every case as a mutant that changes nothing; "none" runs none`)
	table    = flag.Bool("table", false, "print the tables also without -v")
)

// atOnce is how many cases run beside one another: most of their time is spent on waiting.
const atOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

// run is TestMain with its clean-up.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "livecart-fault-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries.dir, binaries.built = dir, map[string]func() (string, error){}
	return m.Run()
}
