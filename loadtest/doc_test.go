package loadtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The checks and tests that the package's documentation names are there.
func TestDocNamesWhatIsThere(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	source := func(pattern string) string {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if name != "doc.go" {
				all.Write(text)
			}
		}
		return all.String()
	}
	code, tests := source("*.go"), source("*_test.go")
	names := regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(string(doc), -1)
	for _, name := range names {
		if !strings.Contains(tests, "func "+name+"(t *testing.T)") {
			t.Errorf("there is no %s", name)
		}
	}
	checks := 0
	for _, item := range regexp.MustCompile(`(?m)^//   - ([a-z_, ]+):`).FindAllStringSubmatch(string(doc), -1) {
		for name := range strings.SplitSeq(item[1], ", ") {
			checks++
			if !strings.Contains(code, `"`+name+`"`) {
				t.Errorf("there is no check %s", name)
			}
		}
	}
	if checks < 20 || len(names) < 15 {
		t.Errorf("%d checks and %d tests are named", checks, len(names))
	}
}
