package stack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// guardScript runs a server and ends it when standard input, a pipe from our process, closes: by our Close, or by the
// kernel when our process is gone for whatever reason.
//
// Arguments: the signal that ends the server; a folder to remove afterwards, or ""; the server's command line.
// File descriptors: 0 the pipe; 3 takes the server's pid, and stays open in the server alone, so that its reader sees
// the end of the server; 4, if given, is a lock that stays held while guard or server live.
// The word "keep" on the pipe says that the folder is still needed.
const guardScript = `signal=$1 remove=$2
shift 2
"$@" </dev/null &
server=$!
echo $server >&3
exec 3>&-
said=$(cat)
kill -"$signal" $server 2>/dev/null
wait $server
if [ -n "$remove" ] && [ "$said" != keep ]; then rm -rf -- "$remove"; fi
`

// command describes a server to run under a guard.
type command struct {
	path   string
	args   []string
	as     *account // nil: as ourselves
	signal string   // how it is asked to end: "INT", "TERM"
	log    string   // file that takes its output; emptied first
	remove string   // folder the guard removes at the end, unless told to keep it
	hold   *os.File // lock that guard and server keep holding; may be nil
}

// guard is one running server with the shell that watches over it. It owns no goroutine, so a guard that lives as long
// as the process costs nothing and leaks nothing. Not safe for concurrent use.
type guard struct {
	shell *exec.Cmd
	pipe  *os.File // closing it ends the server
	alive *os.File // at its end once the server (and every child of it) is gone
	pid   int      // of the server
	name  string
	log   string
}

// running holds every guard that was not stopped: a pipe that nobody refers to is closed by the garbage collector, which
// would end the server of a caller who kept no more than its URL.
var running sync.Map

// start runs the command under a guard. It returns when the server's process exists, not when it is ready.
func (c command) start() (*guard, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	defer log.Close()
	stdin, pipe, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard pipe: %w", err)
	}
	defer stdin.Close()
	alive, aliveEnd, err := os.Pipe()
	if err != nil {
		pipe.Close()
		return nil, fmt.Errorf("guard pipe: %w", err)
	}
	shell := exec.Command("/bin/sh", append([]string{"-c", guardScript, "livecart-guard", c.signal, c.remove, c.path}, c.args...)...)
	shell.Dir = "/"
	shell.Env = serverEnv()
	shell.Stdin, shell.Stdout, shell.Stderr = stdin, log, log
	shell.ExtraFiles = []*os.File{aliveEnd}
	if c.hold != nil {
		shell.ExtraFiles = append(shell.ExtraFiles, c.hold)
	}
	// A session of its own: a Ctrl-C or hang-up of the terminal is for our process, which then ends the server in order.
	shell.SysProcAttr = c.as.sysProcAttr()
	shell.SysProcAttr.Setsid = true
	err = shell.Start()
	aliveEnd.Close()
	if err != nil {
		pipe.Close()
		alive.Close()
		return nil, fmt.Errorf("start guard of %s: %w", c.path, err)
	}
	g := &guard{shell: shell, pipe: pipe, alive: alive, name: c.path, log: c.log}
	running.Store(g, nil)
	line, err := bufio.NewReader(alive).ReadString('\n')
	if err == nil {
		g.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guard of %s gave no pid: %w", c.path, err), g.stop(time.Second, true))
	}
	return g, nil
}

// ended waits up to d for the server to be gone and says whether it is.
func (g *guard) ended(d time.Duration) bool {
	if err := g.alive.SetReadDeadline(time.Now().Add(d)); err != nil {
		return errors.Is(err, os.ErrClosed)
	}
	_, err := g.alive.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed)
}

// stop closes the pipe and waits until the server has ended; after patience it kills the server. With keep the folder
// to remove is left in place. A second call does nothing.
func (g *guard) stop(patience time.Duration, keep bool) error {
	if g.pipe == nil {
		return nil
	}
	if keep {
		// A guard that is gone cannot be told, and will remove nothing either.
		_, _ = g.pipe.WriteString("keep\n")
	}
	g.pipe.Close()
	g.pipe = nil
	running.Delete(g)
	var late error
	if g.pid != 0 && !g.ended(patience) {
		late = fmt.Errorf("%s did not end within %v and was killed", g.name, patience)
		_ = syscall.Kill(g.pid, syscall.SIGKILL) // gone already is as good
		g.ended(time.Second)
	}
	g.alive.Close()
	// The shell's exit code is the server's, which says nothing after a signal.
	var exit *exec.ExitError
	if err := g.shell.Wait(); err != nil && !errors.As(err, &exit) {
		return errors.Join(late, fmt.Errorf("wait for guard of %s: %w", g.name, err))
	}
	return late
}

// kill ends the server with SIGKILL, as a crash would, and keeps its folder.
func (g *guard) kill() error {
	if g.pipe == nil {
		return nil
	}
	if !g.ended(0) {
		_ = syscall.Kill(g.pid, syscall.SIGKILL) // gone already is as good
	}
	return g.stop(5*time.Second, true)
}

// lastWords is the end of the server's log, for error messages.
func (g *guard) lastWords() string {
	text, err := os.ReadFile(g.log)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	const most = 1500
	said := strings.TrimSpace(string(text))
	if len(said) > most {
		said = "…" + said[len(said)-most:]
	}
	if said == "" {
		return "it said nothing"
	}
	return "it said:\n" + said
}

// serverEnv keeps the user's PG* and locale variables away from the servers, where they would change the outcome.
func serverEnv() []string {
	// The guard itself needs cat and rm, whatever PATH we were given.
	env := []string{"LC_ALL=C", "TZ=UTC", "HOME=/", "PATH=" + os.Getenv("PATH") + ":/usr/bin:/bin"}
	for _, name := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
