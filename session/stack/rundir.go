package stack

import "regexp"

// The kernel takes at most 104 bytes for a unix socket's path on macOS, 108 on Linux; the longest name we put into a
// run folder is 13 bytes ("/.s.PGSQL.5432"). Postgres splits its socket setting at commas, and URLs are easier on the
// eye without escapes, hence the plain alphabet.
const longestRunDir = 88

var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

// runDir gives a folder for unix sockets that only the account (and root) may enter: dir itself if its path is short and
// plain, else a temporary folder, which the caller has to remove (temporary is then that folder, else "").
func runDir(dir string, as *account) (run, temporary string, err error) {
	if len(dir) <= longestRunDir && plainPath.MatchString(dir) {
		return dir, "", as.own(dir)
	}
	dir, err = TempDir()
	if err != nil {
		return "", "", err
	}
	return dir, dir, as.own(dir)
}
