package stacktest

import (
	"os"
	"os/exec"
	"testing"
)

// Chrome returns the path of a Chromium or Chrome binary: LIVECART_CHROME, else the first found on PATH or where macOS
// keeps it.
func Chrome(t testing.TB) string {
	t.Helper()
	for _, name := range []string{
		os.Getenv("LIVECART_CHROME"),
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Require(t, "chrome", "no Chromium or Chrome on PATH (Debian, Ubuntu: apt-get install chromium), and LIVECART_CHROME does not name one")
	return ""
}
