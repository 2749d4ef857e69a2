package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport names, for each folder, the folders of ours that it may import; "session" stands for
// that package alone, "session/..." for its subfolders. cmd is free: only it wires.
var mayImport = map[string][]string{
	"proto":         {},
	"session/bus":   {"proto"},
	"session/store": {"proto"},
	"session/stack": {},
	"session/web":   {"proto"},
	"session":       {"proto", "session/..."},
	"chat":          {"proto", "session/bus", "session/store"},
	"cart":          {"proto", "session/bus", "session/store"},
	"gift":          {"proto", "session/bus", "session/store"},
	"loadtest":      {"proto"},
}

// testsMayImport is what any test may import besides.
const testsMayImport = "session/stack"

func TestImportRule(t *testing.T) {
	type pkg struct {
		ImportPath                         string
		Imports, TestImports, XTestImports []string
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "livecart/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(p.ImportPath, "livecart/")
		if strings.HasPrefix(path, "cmd/") {
			continue
		}
		folder, allowed := ruleFor(path)
		if folder == "" {
			t.Errorf("%s is in no folder of the tree", path)
			continue
		}
		seen[folder] = true
		for _, imp := range p.Imports {
			checkImport(t, path, folder, imp, allowed, false)
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			checkImport(t, path, folder, imp, allowed, true)
		}
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("%s has a rule and no package", folder)
		}
	}
}

// ruleFor returns the longest folder with a rule that holds path.
func ruleFor(path string) (folder string, allowed []string) {
	for f, a := range mayImport {
		if (path == f || strings.HasPrefix(path, f+"/")) && len(f) > len(folder) {
			folder, allowed = f, a
		}
	}
	return folder, allowed
}

func checkImport(t *testing.T, path, folder, imp string, allowed []string, test bool) {
	ours, ok := strings.CutPrefix(imp, "livecart/")
	if !ok || within(ours, folder) && folder != "session" || ours == "session" && folder == "session" {
		return
	}
	if test && (within(ours, testsMayImport) || within(ours, "session/store") || within(ours, folder)) {
		return
	}
	for _, a := range allowed {
		if sub, ok := strings.CutSuffix(a, "/..."); ok && strings.HasPrefix(ours, sub+"/") || ours == a {
			return
		}
	}
	t.Errorf("%s imports %s; it may import %v", path, ours, allowed)
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
