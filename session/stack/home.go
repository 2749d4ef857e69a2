package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// systemHome holds the server data of root's data folders that the servers' account cannot reach.
const systemHome = "/var/lib/livecart"

// memory is the data folder's file that names the folder of server data where that is another one.
const memory = "servers"

// rememberedHome is the folder of server data as far as an earlier run chose it; else the data folder.
func rememberedHome(dataDir string) (string, error) {
	file := filepath.Join(dataDir, memory)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return dataDir, nil
	}
	if err != nil {
		return "", fmt.Errorf("read where server data is: %w", err)
	}
	home := strings.TrimSpace(string(text))
	if _, err := os.Stat(home); err != nil {
		return "", fmt.Errorf("server data of %s should be in %s (remove %s to begin anew): %w", dataDir, home, file, err)
	}
	return home, nil
}

// serverHome is the folder for server data: the data folder itself, or if the account cannot reach it, a folder of its
// own below elsewhere. The choice is remembered in the data folder, so a data folder that is removed
// and made again begins anew.
func serverHome(dataDir, elsewhere string, as *account, say func(string)) (string, error) {
	home, err := rememberedHome(dataDir)
	if err != nil {
		return "", err
	}
	if home != dataDir {
		say(fmt.Sprintf("Server data is in %s, as %s says", home, filepath.Join(dataDir, memory)))
		return home, nil
	}
	if as.reaches(dataDir) {
		return dataDir, nil
	}
	if err := openFolder(elsewhere); err != nil {
		return "", fmt.Errorf("make folder for server data: %w", err)
	}
	home, err = os.MkdirTemp(elsewhere, strings.TrimLeft(filepath.Base(filepath.Dir(dataDir)), "./")+"-")
	if err != nil {
		return "", fmt.Errorf("make folder for server data: %w", err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		return "", fmt.Errorf("open folder for server data: %w", err)
	}
	if !as.reaches(home) {
		return "", fmt.Errorf("user %s can reach neither %s nor %s", as.login, dataDir, home)
	}
	if err := os.WriteFile(filepath.Join(dataDir, memory), []byte(home+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("remember where server data is: %w", err)
	}
	say(fmt.Sprintf("Running as root: servers run as user %s, which cannot reach %s, so their data goes to %s", as.login, dataDir, home))
	return home, nil
}

// openFolder makes a folder that others may enter, whatever our umask says. A folder that is there stays as it is.
func openFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
