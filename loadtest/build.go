package loadtest

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// version says which livecart this program is of, as its build tells: a release, or a commit and whether
// more was changed.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of an unknown build"
	}
	return versionOf(info)
})

// versionOf tells it from what the build noted. A build without version control has no version of its own.
func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	commit := setting["vcs.revision"]
	if commit == "" {
		return "(devel)"
	}
	if setting["vcs.modified"] == "true" {
		commit += " with changes"
	}
	return fmt.Sprintf("(devel) of %s", commit)
}
