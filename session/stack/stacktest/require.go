package stacktest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Require ends a test for which a part ("postgres", "redis", "chrome", "io_uring") is missing: it skips the test with the reason, or
// fails it if LIVECART_TEST_REQUIRE names the part.
func Require(t testing.TB, part, why string) {
	t.Helper()
	if required(part) {
		t.Fatalf("needs %s, which LIVECART_TEST_REQUIRE demands: %s", part, why)
	}
	t.Skipf("needs %s: %s", part, why)
}

func required(part string) bool {
	parts := strings.FieldsFunc(os.Getenv("LIVECART_TEST_REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Contains(parts, part)
}
