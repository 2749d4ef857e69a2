package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that servers run as when we are root. A nil account means ourselves; its methods accept nil.
type account struct {
	login    string
	uid, gid int
}

// serverAccount picks the account: nil unless we are root, since initdb and postgres refuse root. Only an account with
// a passwd entry works, as initdb looks its own name up.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(entry.Uid)
		gid, gidErr := strconv.Atoi(entry.Gid)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return &account{login: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("running as root, and there is neither a user postgres nor a user nobody to run servers as: add one, or run as another user")
}

func (a *account) sysProcAttr() *syscall.SysProcAttr {
	if a == nil {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
}

func (a *account) String() string {
	if a == nil {
		return "this user"
	}
	return "user " + a.login
}

// reaches says whether the account may enter the folder. It tries instead of reading mode bits, so that access lists and
// mounts count too.
func (a *account) reaches(dir string) bool {
	if a == nil {
		return true
	}
	return a.run("/bin/sh", "-c", `cd -- "$1"`, "sh", dir) == nil
}

// own makes dir, private to the account.
func (a *account) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if a == nil {
		return nil
	}
	if err := os.Chown(dir, a.uid, a.gid); err != nil {
		return fmt.Errorf("give folder to %v: %w", a, err)
	}
	return nil
}

// run runs a short command as the account and returns an error with its output if it fails.
func (a *account) run(path string, args ...string) error {
	_, err := a.output(path, args...)
	return err
}

func (a *account) output(path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = serverEnv()
	cmd.SysProcAttr = a.sysProcAttr()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s as %v: %w: %s", path, a, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
