package stacktest

import (
	"os"
	"testing"

	"livecart/session/stack"
)

// DataDir makes a data folder for stack.Start, removed when the test ends. Unlike t.TempDir it can be reached by the
// account that servers run as for root, and its path is short.
func DataDir(t testing.TB) string {
	t.Helper()
	dir, err := stack.ThrowawayDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove data folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
