package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// process is one of a target's own processes, as its ready file names it.
type process struct {
	Name    string `json:"name"` // "gateway 2", "ledger", "redis"
	PID     int    `json:"pid"`
	Program string `json:"program"`
}

// process looks up who has a name now: a process that came back has another number.
func (t Target) process(name string) (process, error) {
	data, err := os.ReadFile(t.readyFile)
	if err != nil {
		return process{}, fmt.Errorf("ready file: %w", err)
	}
	var r readyFile
	if err := json.Unmarshal(data, &r); err != nil {
		return process{}, fmt.Errorf("ready file %s: %w", t.readyFile, err)
	}
	for _, p := range r.Processes {
		if p.Name == name {
			return p, p.check()
		}
	}
	return process{}, fmt.Errorf("ready file %s names no process of %s", t.readyFile, name)
}

// check holds that the number is still that of the program: after a crash the file may be old.
func (p process) check() error {
	if p.PID < 2 {
		return fmt.Errorf("%s does not run", p.Name)
	}
	running, err := procfs.NewProc(p.PID)
	if err != nil {
		return fmt.Errorf("%s, process %d, is not there: %w", p.Name, p.PID, err)
	}
	program, err := running.Executable()
	if err != nil {
		return fmt.Errorf("%s, process %d: %w", p.Name, p.PID, err)
	}
	if got := strings.TrimSuffix(program, " (deleted)"); got != p.Program {
		return fmt.Errorf("process %d is %s and not %s of %s", p.PID, got, p.Program, p.Name)
	}
	return nil
}

var faultSignals = map[string]syscall.Signal{
	"kill": syscall.SIGKILL, "restart": syscall.SIGTERM, "freeze": syscall.SIGSTOP, "thaw": syscall.SIGCONT,
}

func (p process) signal(verb string) error {
	err := syscall.Kill(p.PID, faultSignals[verb])
	if errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s, process %d, has ended", p.Name, p.PID)
	}
	return err
}
