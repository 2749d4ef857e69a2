package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// edit replaces a text that a source file holds exactly once.
type edit struct{ file, old, new string }

// embedded reports whether the edit is of SQL or Lua, which stands in the binary as in its file.
func (e edit) embedded() bool {
	return strings.HasSuffix(e.file, ".sql") || strings.HasSuffix(e.file, ".lua")
}

// place is where the text to replace begins.
func (e edit) place(source string) (int, error) {
	if n := strings.Count(source, e.old); n != 1 {
		return 0, fmt.Errorf("%s holds the text to replace %d times, not once:\n%s", e.file, n, e.old)
	}
	return strings.Index(source, e.old), nil
}

// variant is the binary as it is (the zero value), one of the mutants, or one with a clock that is off.
type variant struct {
	mutant mutant
	// skew is what the process's wall clock is ahead, in whole seconds; timers and durations go on as
	// they do where a machine's clock is wrong.
	skew time.Duration
}

func (v variant) name() string {
	switch {
	case v.mutant.name != "":
		return v.mutant.name
	case v.skew != 0:
		return "clock" + v.skew.String()
	}
	return "livecart"
}

// changesGo reports whether the variant needs the binary that has every mutant in it.
func (v variant) changesGo() bool {
	for _, e := range v.mutant.edits {
		if !e.embedded() {
			return true
		}
	}
	return v.skew != 0 || v.mutant.name == control.name
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

// built returns what make made, which is called once for a name.
func built(t testing.TB, name string, make func() (string, error)) string {
	t.Helper()
	binaries.Lock()
	once := binaries.built[name]
	if once == nil {
		once = sync.OnceValues(make)
		binaries.built[name] = once
	}
	binaries.Unlock()
	path, err := once()
	if err != nil {
		if trial, ok := t.(*trial); ok {
			trial.T.Error(err) // says nothing about the mutant
		}
		t.Fatal(err)
	}
	return path
}

// build returns the path of a variant's binary.
func build(t testing.TB, v variant) string {
	t.Helper()
	if v.changesGo() {
		from := built(t, "instrumented", func() (string, error) {
			files, err := instrumented(mutants)
			if err != nil {
				return "", err
			}
			if err := skewClock(files); err != nil {
				return "", err
			}
			return compile("instrumented", "livecart/cmd/livecart", files, "-X time.skew="+noSkew, "build", "-buildvcs=false")
		})
		return built(t, v.name(), func() (string, error) { return v.patch(from) })
	}
	from := built(t, "livecart", func() (string, error) {
		return compile("livecart", "livecart/cmd/livecart", nil, "", "build", "-buildvcs=false")
	})
	if v.mutant.name == "" {
		return from
	}
	return built(t, v.name(), func() (string, error) { return v.patch(from) })
}

// forget removes the variant's binary, which a mutant of a model alone does not have.
func (v variant) forget() {
	binaries.Lock()
	defer binaries.Unlock()
	delete(binaries.built, v.name())
	os.Remove(v.path())
}

func (v variant) path() string { return filepath.Join(binaries.dir, v.name()) }

// compile compiles a package with some files changed, by a command of the go tool, and returns the binary.
func compile(name, pkg string, files map[string]string, ldflags string, command ...string) (string, error) {
	compiling <- struct{}{}
	defer func() { <-compiling }()
	dir := filepath.Join(binaries.dir, "build-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	overlay, err := writeOverlay(dir, files)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	out := filepath.Join(dir, path.Base(pkg))
	cmd := exec.Command("go", append(command, quick, "-ldflags", "-s -w "+ldflags, "-overlay", overlay, "-o", out, pkg)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, said)
	}
	return out, nil
}

// writeOverlay writes changed copies of files, and the file that tells the compiler of them. A file whose
// text is empty is one that the compiler does not see.
func writeOverlay(dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for path, text := range files {
		replace[path] = ""
		if text == "" {
			continue
		}
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

// patch makes a variant's binary of another without a build: under the name by which a mutant knows
// itself, with its embedded files edited and its clock set.
func (v variant) patch(binary string) (string, error) {
	replace := map[string]string{}
	if v.skew != 0 {
		replace[noSkew] = fmt.Sprintf("%+0*d", len(noSkew), int(v.skew.Seconds()))
	}
	if err := v.patchEmbedded(replace); err != nil {
		return "", err
	}
	if len(replace) == 0 {
		return v.path(), os.Link(binary, v.path())
	}
	code, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	for old, new := range replace {
		if !bytes.Contains(code, []byte(old)) {
			return "", fmt.Errorf("the binary does not hold what is to be patched:\n%s", old)
		}
		code = bytes.ReplaceAll(code, []byte(old), []byte(new)) // what the linker was told is in it as well
	}
	return v.path(), os.WriteFile(v.path(), code, 0o700)
}

// patchEmbedded adds the files that the variant edits in the binary. The text of a file keeps its length:
// it is filled up with line ends, or loses lines of the comment that it begins with.
func (v variant) patchEmbedded(replace map[string]string) error {
	for _, e := range v.mutant.edits {
		if !e.embedded() {
			continue
		}
		path, err := sourcePath(e.file)
		if err != nil {
			return err
		}
		source, err := readSource(path)
		if err != nil {
			return err
		}
		if _, err := e.place(source); err != nil {
			return err
		}
		if replace[source] != "" {
			return fmt.Errorf("mutant %s edits %s twice", v.name(), e.file)
		}
		text := strings.Replace(source, e.old, e.new, 1)
		for len(text) > len(source) {
			comment, rest, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(comment, "--") {
				return fmt.Errorf("mutant %s makes %s too long for its place", v.name(), path)
			}
			text = rest
		}
		replace[source] = text + strings.Repeat("\n", len(source)-len(text))
	}
	return nil
}

// noSkew stands in a binary for the seconds that its clock is ahead, in as many characters.
const noSkew = "+000000000000000000000000000000000000"

// skewClock has the wall clock of a process be off by what its binary says. No clock of the machine
// is touched, and nothing that counts elapsed time changes: timers, deadlines and durations stand on
// the monotonic clock.
func skewClock(files map[string]string) error {
	path, err := sourcePath(goroot + "src/time/time.go")
	if err != nil {
		return err
	}
	source, err := readSource(path)
	if err != nil {
		return err
	}
	e := edit{
		file: path,
		old:  "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n",
		new: `var skew string

var skewSeconds = func() int64 {
	d, _ := ParseDuration(skew + "s")
	return int64(d / Second)
}()

func Now() Time {
	sec, nsec, mono := runtimeNow()
	sec += skewSeconds
`,
	}
	if _, err := e.place(source); err != nil {
		return err
	}
	files[path] = strings.Replace(source, e.old, e.new, 1)
	return nil
}

// goroot marks a file of the Go distribution.
const goroot = "GOROOT/"

var (
	moduleDir = sync.OnceValues(func() (string, error) { return goTool("list", "-m", "-f", "{{.Dir}}") })
	gorootDir = sync.OnceValues(func() (string, error) { return goTool("env", "GOROOT") })
)

func goTool(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// sourcePath is where a file of the module, or of the Go distribution, is.
func sourcePath(file string) (string, error) {
	if in, ok := strings.CutPrefix(file, goroot); ok {
		dir, err := gorootDir()
		return filepath.Join(dir, in), err
	}
	dir, err := moduleDir()
	return filepath.Join(dir, file), err
}

func readSource(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}
