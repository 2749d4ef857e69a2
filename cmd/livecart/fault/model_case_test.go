package fault

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modelled are the packages whose decisions a serial model judges, by their test TestModelSeeded.
var modelled = []string{"cart", "gift"}

var modelCases = []faultCase{{
	name:     "model_seeded",
	injected: "batches of any cut, copies, keys used again, voids, edits and workers that die, in 12,000 seeded histories",
	holds:    "each decision is what one who serves one at a time would have made of it",
	source:   playModels,
}}

// playModels drives the models of the packages that a variant changes, of all where it changes nothing.
func playModels(t testing.TB, v variant) {
	for _, name := range modelled {
		changed := func(e edit) bool { return strings.HasPrefix(e.file, name+"/") }
		if len(v.mutant.edits) > 0 && !slices.ContainsFunc(v.mutant.edits, changed) {
			continue
		}
		where, err := sourcePath(name)
		if err != nil {
			t.Fatal(err)
		}
		binary := buildModel(t, name, v)
		begin(t)
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestModelSeeded$", "-test.v", "-test.timeout=2m")
		cmd.Dir = where
		text, err := cmd.CombinedOutput()
		said := string(text)
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if err != nil || !strings.Contains(said, "--- PASS: TestModelSeeded") {
			t.Errorf("%s: %s\n%s", name, difference(said), said)
		}
	}
}

// buildModel compiles the model of a package: of its source, or of the one with every mutant.
func buildModel(t testing.TB, name string, v variant) string {
	t.Helper()
	which := "model-" + name
	if v.mutant.name != "" {
		which += "-instrumented"
	}
	binary := built(t, which, func() (string, error) {
		files := map[string]string{}
		if v.mutant.name != "" {
			var err error
			if files, err = instrumented(mutants); err != nil {
				return "", err
			}
		}
		dir, err := sourcePath(name)
		if err != nil {
			return "", err
		}
		others, err := besides(dir, "model_test.go")
		if err != nil {
			return "", err
		}
		for _, path := range others {
			files[path] = ""
		}
		return compile(which, "livecart/"+name, files, "", "test", "-c")
	})
	if v.mutant.name == "" {
		return binary
	}
	return built(t, v.name()+"-"+name, func() (string, error) {
		dir := filepath.Join(filepath.Dir(binary), v.name())
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
		path := filepath.Join(dir, v.name())
		return path, os.Link(binary, path)
	})
}

// besides are a package's test files except for one, which has all that it needs: without the others,
// and the servers that they start, it compiles in a fraction of the time.
func besides(dir, name string) (others []string, err error) {
	tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	return slices.DeleteFunc(tests, func(path string) bool { return filepath.Base(path) == name }), err
}

// difference is the line of a test's output that names the seed and what differed.
func difference(said string) string {
	for line := range strings.Lines(said) {
		if at := strings.Index(line, "seed "); at >= 0 {
			return strings.TrimSpace(line[at:])
		}
	}
	return "no seed is named"
}
