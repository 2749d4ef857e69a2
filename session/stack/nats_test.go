package stack

import (
	"net"
	"strings"
	"testing"
)

func TestNATSOnAPortThatIsTaken(t *testing.T) {
	first, err := StartNATS(0)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	taken := first.server.Addr().(*net.TCPAddr)
	if _, err := StartNATS(taken.Port); err == nil || !strings.Contains(err.Error(), taken.String()) {
		t.Errorf("error %v, want one that names the port", err)
	}
}
