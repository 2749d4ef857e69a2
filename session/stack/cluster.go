package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// initdbArgs are the same for dev and tests, so that text sorts alike in both: by code point.
var initdbArgs = []string{"--username=livecart", "--auth=trust", "--encoding=UTF8", "--locale=C"}

// initCluster makes a cluster in data, a folder that does not exist yet. The folder appears in one step, so a start that
// is cut short leaves no half a cluster.
func initCluster(bin pgBinaries, as *account, data string, args ...string) error {
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := as.own(unfinished); err != nil {
		return err
	}
	args = append(append([]string{"--pgdata=" + unfinished}, initdbArgs...), args...)
	err := as.run(filepath.Join(bin.dir, "initdb"), args...)
	if err != nil && strings.Contains(err.Error(), "could not look up effective user ID") {
		return fmt.Errorf("%w: initdb needs a passwd entry for user id %d: %w", ErrNoPostgres, os.Geteuid(), err)
	}
	if err != nil {
		return fmt.Errorf("make a Postgres cluster: %w", err)
	}
	if err := os.Rename(unfinished, data); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return nil
}

// clusterMajor reads the major version that a cluster was made by; 0 if there is no cluster, or data is "".
func clusterMajor(data string) (int, error) {
	if data == "" {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Errorf("the cluster in %s belongs to another user (was it made as root?): %w", data, err)
	}
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION holds %q, not a major version", data, strings.TrimSpace(string(text)))
	}
	return major, nil
}

// copyTemplateCluster makes a throwaway cluster by unpacking the machine's template for these binaries, which is made on
// first use: some 60 ms instead of initdb's 700. The template is a single archive, so a cleaner of temporary files can
// remove it, but not damage it.
func copyTemplateCluster(bin pgBinaries, as *account, data string) error {
	template, err := templateCluster(bin, as)
	if err != nil {
		return err
	}
	if err := as.own(data); err != nil {
		return err
	}
	if err := as.run("tar", "-xf", template, "-C", data); err != nil {
		return fmt.Errorf("unpack the template cluster: %w", err)
	}
	return nil
}

func templateCluster(bin pgBinaries, as *account) (string, error) {
	shelf := filepath.Join(os.TempDir(), "livecart-templates-"+strconv.Itoa(os.Geteuid()))
	if as != nil || len(shelf) > longestRunDir {
		// Root's $TMPDIR may be closed to the account.
		shelf = filepath.Join("/tmp", filepath.Base(shelf))
	}
	if err := ownedFolder(shelf); err != nil {
		return "", err
	}
	kind := sha256.Sum256([]byte(bin.dir + "\n" + bin.version + "\n" + strings.Join(initdbArgs, "\n") + "\n" + as.String()))
	name := filepath.Join(shelf, "postgres-"+bin.version+"-"+hex.EncodeToString(kind[:4]))
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the template's lock: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock the template: %w", err)
	}
	archive := name + ".tar"
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	work, err := TempDir()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := as.own(work); err != nil {
		return "", err
	}
	cluster, unfinished := filepath.Join(work, "data"), filepath.Join(work, "data.tar")
	// Small log segments: most of a fresh cluster is one segment.
	if err := initCluster(bin, as, cluster, "--no-sync", "--wal-segsize=1"); err != nil {
		return "", err
	}
	if err := as.run("tar", "-cf", unfinished, "-C", cluster, "."); err != nil {
		return "", fmt.Errorf("pack the template cluster: %w", err)
	}
	if err := os.Rename(unfinished, archive); err != nil {
		return "", fmt.Errorf("put the template in place: %w", err)
	}
	return archive, nil
}

// ownedFolder makes a folder in a place where everybody may write, and refuses one that somebody else put there.
func ownedFolder(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever our umask says
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder for templates: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at folder for templates: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a folder of ours that others cannot write to: remove it", dir)
	}
	return nil
}
