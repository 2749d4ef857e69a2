package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// TempDir makes a temporary folder with a path short enough for unix sockets. It prefers /tmp over $TMPDIR, which is
// long on macOS.
func TempDir() (string, error) { return tempDirIn("/tmp", "") }

// ThrowawayDir is a TempDir for servers of tests, in memory where the system has a folder of that kind with room to spare.
// A test makes and removes hundreds of files, which some disks take longer for than the test for everything else.
func ThrowawayDir() (string, error) {
	if memoryHasRoom() {
		return tempDirIn(memoryFolder, "/tmp", "")
	}
	return TempDir()
}

// tempDirIn makes the folder in the first of some places that can take it; "" is $TMPDIR.
func tempDirIn(places ...string) (string, error) {
	var errs []error
	for _, place := range places {
		dir, err := os.MkdirTemp(place, "livecart-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(filepath.Clean(dir)) > longestRunDir {
			return "", fmt.Errorf("temporary folder %s: path too long for unix sockets", dir)
		}
		return dir, nil
	}
	return "", fmt.Errorf("make temporary folder: %w", errors.Join(errs...))
}
