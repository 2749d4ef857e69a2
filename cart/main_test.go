package cart

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever Run started has ended when it returns.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
