package loadtest

import (
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "1234abc"}, {Key: "vcs.modified", Value: "true"}}
	for name, tt := range map[string]struct {
		info debug.BuildInfo
		want string
	}{
		"a release":        {debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: vcs}, "v1.2.3"},
		"a changed commit": {debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs}, "(devel) of 1234abc with changes"},
		"a commit":         {debug.BuildInfo{Settings: vcs[:1]}, "(devel) of 1234abc"},
		"nothing is known": {debug.BuildInfo{}, "(devel)"},
	} {
		if got := versionOf(&tt.info); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if version() == "" {
		t.Error("this program has no version")
	}
}
