package web

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// text of the pages' own files, vendored ones left out.
func ownFiles(t *testing.T, ext string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ext || strings.HasPrefix(name, "static/vendor/") {
			return err
		}
		b, err := embedded.ReadFile(name)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no %s file is embedded", ext)
	}
	return files
}

func exists(name string) bool {
	_, err := fs.Stat(embedded, name)
	return err == nil
}

var imports = regexp.MustCompile(`(?m)(?:^import|^export|^\} )[^;]*?from\s*["']([^"']+)["']|(?m)^import\s*["']([^"']+)["']`)

func TestImportsExist(t *testing.T) {
	found := 0
	files := ownFiles(t, ".js")
	for _, name := range []string{"static/vendor/hooks.module.js"} {
		b, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	for name, text := range files {
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			found++
			spec := m[1] + m[2]
			if !strings.HasPrefix(spec, ".") {
				t.Errorf("%s imports %q: a page has no import map", name, spec)
			} else if target := path.Join(path.Dir(name), spec); !exists(target) {
				t.Errorf("%s imports %s, which is not embedded", name, target)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d imports were seen; the pattern is out of step", found)
	}
}

func TestPagesNameExistingFiles(t *testing.T) {
	names := regexp.MustCompile(`\{\{\.Base\}\}/([^"]+)`)
	for _, page := range []string{"viewer", "host", "statement", "lost"} {
		b, err := shells.ReadFile("page/" + page + ".html")
		if err != nil {
			t.Fatal(err)
		}
		matches := names.FindAllStringSubmatch(string(b), -1)
		if len(matches) == 0 {
			t.Errorf("%s names no file", page)
		}
		for _, m := range matches {
			if !exists("static/" + m[1]) {
				t.Errorf("%s names %s, which is not embedded", page, m[1])
			}
		}
	}
}

func TestNothingInline(t *testing.T) {
	handler := regexp.MustCompile(`(?i)\son[a-z]+\s*=`)
	script := regexp.MustCompile(`(?is)<script(?:\s[^>]*)?>\s*[^<\s]`)
	for _, page := range []string{"viewer", "host", "statement", "lost"} {
		b, err := shells.ReadFile("page/" + page + ".html")
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for what, broken := range map[string]bool{
			"an event attribute":    handler.MatchString(text),
			"an inline script":      script.MatchString(text),
			"a style element":       strings.Contains(text, "<style"),
			"a style attribute":     strings.Contains(text, " style="),
			"a javascript: address": strings.Contains(text, "javascript:"),
		} {
			if broken {
				t.Errorf("%s.html holds %s", page, what)
			}
		}
	}
	for name, text := range ownFiles(t, ".js") {
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if strings.Contains(text, word) {
				t.Errorf("%s uses %s", name, word)
			}
		}
	}
	for name, text := range ownFiles(t, ".svg") {
		if strings.Contains(text, "<script") || handler.MatchString(text) || strings.Contains(text, "<text") {
			t.Errorf("%s holds a script, an event attribute or text", name)
		}
	}
}

// words of one language, in the order of the file.
func words(t *testing.T, language string) map[string]string {
	t.Helper()
	b, err := embedded.ReadFile("static/i18n/" + language + ".js")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`(?:^|[,{]\s*|\n\s*)(?:'([\w.]+)'|(\w+)): '([^']*)'`)
	found := make(map[string]string)
	for _, m := range entry.FindAllStringSubmatch(string(b), -1) {
		key := m[1] + m[2]
		if _, twice := found[key]; twice {
			t.Errorf("%s: %s stands twice", language, key)
		}
		found[key] = m[3]
	}
	return found
}

func TestLanguagesHaveTheSameKeys(t *testing.T) {
	english, chinese := words(t, "en"), words(t, "zh-Hans")
	if len(english) < 200 {
		t.Fatalf("only %d keys were seen; the pattern is out of step", len(english))
	}
	holes := regexp.MustCompile(`\{\w+\}`)
	for key, text := range english {
		other, ok := chinese[key]
		if !ok {
			t.Errorf("zh-Hans lacks %s", key)
			continue
		}
		a, b := holes.FindAllString(text, -1), holes.FindAllString(other, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s: holes %v and %v", key, a, b)
		}
	}
	for key := range chinese {
		if _, ok := english[key]; !ok {
			t.Errorf("en lacks %s", key)
		}
	}
}

func TestKeysInUseExist(t *testing.T) {
	english := words(t, "en")
	used := regexp.MustCompile(`\bt\(\s*'([^']+)'`)
	chosen := regexp.MustCompile(`\bt\([^()'\x60]+ \? '([^']+)' : '([^']+)'`)
	n := 0
	for name, text := range ownFiles(t, ".js") {
		for _, m := range append(used.FindAllStringSubmatch(text, -1), chosen.FindAllStringSubmatch(text, -1)...) {
			for _, key := range m[1:] {
				n++
				if _, ok := english[key]; !ok {
					t.Errorf("%s uses %s, which has no words", name, key)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d uses were seen; the pattern is out of step", n)
	}
}

// Every data-testid that doc.go promises is in the pages, as browser tests rely on them.
func TestPromisedHooksExist(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(b), "# Hooks for browser tests")
	if !found {
		t.Fatal("doc.go has no list of hooks")
	}
	var all strings.Builder
	for _, text := range ownFiles(t, ".js") {
		all.WriteString(text)
	}
	pages := all.String()
	list = regexp.MustCompile(`(?m)^//`).ReplaceAllString(list, "")
	list = regexp.MustCompile(`host-figure-<[^>]*>`).ReplaceAllString(list, "host-figure-<name>")
	n := 0
	for _, hook := range regexp.MustCompile(`[a-z][a-z-]*(?:<[^>]*>)?`).FindAllString(afterColons(list), -1) {
		n++
		fixed, _, open := strings.Cut(hook, "<")
		want := []string{`"` + fixed + `"`, `'` + fixed + `'`}
		if open {
			want = []string{"`" + fixed + "${"}
		}
		if !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(pages, w) }) {
			t.Errorf("no element has data-testid %s", hook)
		}
	}
	if n < 60 {
		t.Errorf("only %d hooks were seen; the list is out of step", n)
	}
}

// afterColons keeps what follows "Viewer:" and "Host:", the two lists.
func afterColons(text string) string {
	var out strings.Builder
	for _, who := range []string{"Viewer:", "Host:"} {
		_, rest, _ := strings.Cut(text, who)
		list, _, _ := strings.Cut(rest, ".\n")
		out.WriteString(list + ",")
	}
	return out.String()
}
