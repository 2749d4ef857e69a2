package stack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePostgres puts a postgres that tells a version into dir/name/bin, and an initdb beside it unless told not to.
func fakePostgres(t *testing.T, dir, name, version string, initdb bool) string {
	t.Helper()
	bin := filepath.Join(dir, name, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := []byte("#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n")
	if err := os.WriteFile(filepath.Join(bin, "postgres"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	if initdb {
		if err := os.WriteFile(filepath.Join(bin, "initdb"), script, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// onlyFakes hides this machine's Postgres: PATH is the given folders, the usual places are dir/*/bin.
func onlyFakes(t *testing.T, dir string, path ...string) {
	t.Helper()
	t.Setenv("PATH", strings.Join(path, string(filepath.ListSeparator)))
	places := usualPlaces
	usualPlaces = []string{filepath.Join(dir, "*", "bin")}
	t.Cleanup(func() { usualPlaces = places })
}

func TestFindPostgresOrder(t *testing.T) {
	dir := dataFolder(t)
	fakePostgres(t, dir, "a", "15.18 (Debian 15.18-0+deb12u1)", true)
	fakePostgres(t, dir, "b", "17", true) // the newest, and without a minor version
	fakePostgres(t, dir, "c", "9.6.24", true)
	fakePostgres(t, dir, "d", "15.2", true)
	elsewhere := dataFolder(t)
	onPath := fakePostgres(t, elsewhere, "path", "14.9", true)
	bare := fakePostgres(t, elsewhere, "bare", "16.1", false)
	linked := filepath.Join(elsewhere, "links")
	if err := os.Mkdir(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(onPath, "postgres"), filepath.Join(linked, "postgres")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		path  []string
		pgBin string
		want  string // versions, best first
	}{
		{"newest of the usual places", nil, "", "17 15.18 15.2"},
		{"PATH comes first", []string{onPath}, "", "14.9 17 15.18 15.2"},
		{"a postgres without initdb is passed over", []string{bare, onPath}, "", "14.9 17 15.18 15.2"},
		{"a link leads to initdb", []string{linked}, "", "14.9 17 15.18 15.2"},
		{"LIVECART_PG_BIN is the only one", []string{onPath}, filepath.Join(dir, "d", "bin"), "15.2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			onlyFakes(t, dir, test.path...)
			bins, err := findPostgres(test.pgBin, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, bin := range bins {
				got = append(got, bin.version)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("found %v, want %s", got, test.want)
			}
		})
	}
	t.Run("LIVECART_PG_BIN that is wrong", func(t *testing.T) {
		if _, err := findPostgres(bare, nil); err == nil || !strings.Contains(err.Error(), "has no initdb") {
			t.Errorf("error %v, want the reason", err)
		}
	})
	t.Run("LIVECART_PG_BIN that is too old", func(t *testing.T) {
		if _, err := findPostgres(filepath.Join(dir, "c", "bin"), nil); err == nil || !strings.Contains(err.Error(), "older than 14") {
			t.Errorf("error %v, want the reason", err)
		}
	})
}

func TestClusterIsRunByItsOwnMajorVersion(t *testing.T) {
	dir := dataFolder(t)
	fakePostgres(t, dir, "new", "17.1", true)
	fakePostgres(t, dir, "old", "15.3", true)
	onlyFakes(t, dir)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := choosePostgres(Config{CacheDir: t.TempDir()}, data, nil)
	if err != nil || bin.version != "15.3" {
		t.Errorf("chose %q, %v, want 15.3", bin.version, err)
	}
	bin, err = choosePostgres(Config{CacheDir: t.TempDir()}, filepath.Join(data, "new"), nil)
	if err != nil || bin.version != "17.1" {
		t.Errorf("for a new cluster chose %q, %v, want 17.1", bin.version, err)
	}
}

func TestNoPostgresSaysWhatToInstall(t *testing.T) {
	npm := dataFolder(t)
	if err := os.WriteFile(filepath.Join(npm, "npm"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		path []string
		cfg  Config
		want string
	}{
		{"no npm", nil, Config{}, "no npm on PATH"},
		{"offline", []string{npm}, Config{Offline: true}, "--offline forbids"},
	} {
		t.Run(test.name, func(t *testing.T) {
			onlyFakes(t, t.TempDir(), test.path...)
			test.cfg.CacheDir = t.TempDir()
			_, err := choosePostgres(test.cfg, "", nil)
			if err == nil || errors.Is(err, errFetchable) {
				t.Fatalf("error %v, want one that is final", err)
			}
			for _, part := range []string{test.want, "apt-get install postgresql", "LIVECART_PG_BIN", "DATABASE_URL"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
	t.Run("npm may fetch", func(t *testing.T) {
		if _, ok := npmPackages[hostPlatform]; !ok {
			t.Skipf("no package for %s", hostPlatform)
		}
		onlyFakes(t, t.TempDir(), npm)
		if _, err := choosePostgres(Config{CacheDir: t.TempDir()}, "", nil); !errors.Is(err, errFetchable) {
			t.Errorf("error %v, want errFetchable", err)
		}
	})
}
