package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// edit replaces a text that a source file holds exactly once.
type edit struct{ file, old, new string }

// variant is the binary as it is (the zero value), with edits of its source, or with a clock that is off.
type variant struct {
	name  string // of its own for each other variant
	edits []edit
	hides []string // paths of files that the compiler does not see
	// skew is what the process's wall clock is ahead, in whole seconds; timers and durations go on as
	// they do where a machine's clock is wrong.
	skew time.Duration
}

// binaries are built once for the process.
var binaries struct {
	sync.Mutex
	dir   string
	built map[string]func() (string, error)
}

// compiling bounds how many builds run at a time: the cases beside them need a processor too.
var compiling = make(chan struct{}, 2)

// quick has the compiler inline nothing of ours: a build takes half the time, and what a case sees of a
// process is the same.
const quick = "-gcflags=livecart/...=-l"

// build returns the path of a variant's binary.
func build(t testing.TB, v variant) string {
	t.Helper()
	binaries.Lock()
	once := binaries.built[v.name]
	if once == nil {
		dir := v.dir()
		once = sync.OnceValues(func() (string, error) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return "", err
			}
			if v.onlyEmbedded() {
				return v.patch(dir, build(t, variant{}))
			}
			return v.compile(dir, "livecart/cmd/livecart", "build", "-buildvcs=false")
		})
		binaries.built[v.name] = once
	}
	binaries.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// dir is where build puts the binary.
func (v variant) dir() string { return filepath.Join(binaries.dir, "build-"+v.name) }

// compile compiles a package into a directory, by a command of the go tool, and returns the file.
func (v variant) compile(dir, pkg string, command ...string) (string, error) {
	compiling <- struct{}{}
	defer func() { <-compiling }()
	overlay, err := v.overlay(dir)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", v.name, err)
	}
	out := filepath.Join(dir, path.Base(pkg))
	flags := "-s -w"
	if v.skew != 0 {
		flags += " -X time.skew=" + v.skew.String()
	}
	cmd := exec.Command("go", append(command, quick, "-ldflags", flags, "-overlay", overlay, "-o", out, pkg)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", v.name, err, said)
	}
	return out, nil
}

// onlyEmbedded reports whether the edits are of SQL and Lua alone, which stand in the binary as they
// stand in their files.
func (v variant) onlyEmbedded() bool {
	of := func(e edit) bool { return strings.HasSuffix(e.file, ".sql") || strings.HasSuffix(e.file, ".lua") }
	return v.skew == 0 && len(v.edits) > 0 && !slices.ContainsFunc(v.edits, func(e edit) bool { return !of(e) })
}

// patch writes a copy of a binary whose embedded files are edited, without a build. The text of a file
// keeps its length: it is filled up with line ends, or loses lines of the comment that it begins with.
func (v variant) patch(dir, binary string) (string, error) {
	code, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	edited, err := edited(v.edits)
	if err != nil {
		return "", err
	}
	for path, text := range edited {
		source, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		for len(text) > len(source) {
			comment, rest, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(comment, "--") {
				return "", fmt.Errorf("mutant %s makes %s too long for its place", v.name, path)
			}
			text = rest
		}
		text += strings.Repeat("\n", len(source)-len(text))
		if n := bytes.Count(code, source); n != 1 {
			return "", fmt.Errorf("the binary holds %s %d times, not once", path, n)
		}
		code = bytes.Replace(code, source, []byte(text), 1)
	}
	out := filepath.Join(dir, filepath.Base(binary))
	return out, os.WriteFile(out, code, 0o700)
}

// edited returns the edited files, by their paths.
func edited(edits []edit) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range edits {
		path, err := sourcePath(e.file)
		if err != nil {
			return nil, err
		}
		text, begun := changed[path]
		if !begun {
			source, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(source)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s holds the text to replace %d times, not once:\n%s", e.file, n, e.old)
		}
		changed[path] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// overlay writes changed copies of source files, and the file that tells the compiler of them.
func (v variant) overlay(dir string) (string, error) {
	edits := v.edits
	if v.skew != 0 {
		edits = append(edits, skewEdit)
	}
	changed, err := edited(edits)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, path := range v.hides {
		replace[path] = ""
	}
	for path, text := range changed {
		copied := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = copied
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// goroot marks a file of the Go distribution.
const goroot = "GOROOT/"

// skewEdit has the wall clock of a process be off by what the linker is told. No clock of the machine
// is touched, and nothing that counts elapsed time changes: timers, deadlines and durations stand on
// the monotonic clock.
var skewEdit = edit{
	file: goroot + "src/time/time.go",
	old:  "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n",
	new: `var skew string

var skewSeconds = func() int64 {
	d, _ := ParseDuration(skew)
	return int64(d / Second)
}()

func Now() Time {
	sec, nsec, mono := runtimeNow()
	sec += skewSeconds
`,
}

// sourcePath is where a file of the module, or of the Go distribution, is.
func sourcePath(file string) (string, error) {
	if in, ok := strings.CutPrefix(file, goroot); ok {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		return filepath.Join(strings.TrimSpace(string(out)), in), err
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return filepath.Join(strings.TrimSpace(string(out)), file), err
}
