package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// Config says what to use and where. The zero value of each field but DataDir is a working default.
type Config struct {
	DataDir string // holds lock, server data and logs; made if missing. Required by Start.

	NATSURL     string // use this server; "" starts one in-process
	RedisURL    string // use this server, as redis.ParseURL takes it; "" starts one
	DatabaseURL string // use this database; "" starts a cluster

	NATSPort int    // loopback port of the in-process NATS; 0 takes a free one
	PGBin    string // folder with initdb and postgres to use; "" searches for them
	Offline  bool   // never fetch Postgres binaries
	CacheDir string // keeps fetched binaries; "" is the user's cache folder, for root /var/cache/livecart

	// SystemDir takes the server data of root where the servers' account cannot reach DataDir; "" is /var/lib/livecart.
	SystemDir string

	// Log takes one line for each choice made; nil drops them.
	Log func(line string)
}

// Stack is the three servers, ready for use.
type Stack struct {
	NATSURL     string
	RedisURL    string
	DatabaseURL string
	Parts       []Part // NATS, Redis, Postgres: what was chosen and why

	nats      *NATSServer
	mini      *MiniRedis
	redis     *RedisServer
	postgres  *PostgresServer
	lock      *folderLock
	closeOnce sync.Once
	closed    error
}

// Start claims the data folder and starts what is not given. It returns when all servers take commands. ErrInUse if
// another process has the folder; other errors say what to do. On an error nothing stays running.
func Start(ctx context.Context, cfg Config) (_ *Stack, err error) {
	if cfg.DataDir == "" {
		return nil, errors.New("stack: a data folder is required")
	}
	say := cfg.Log
	if say == nil {
		say = func(string) {}
	}
	dataDir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockFolder(dataDir)
	if err != nil {
		return nil, err
	}
	s := &Stack{lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	place := &place{logs: dataDir, hold: lock.servers}
	if cfg.RedisURL == "" || cfg.DatabaseURL == "" {
		if place.as, err = serverAccount(); err != nil {
			return nil, err
		}
		elsewhere := cfg.SystemDir
		if elsewhere == "" {
			elsewhere = systemHome
		}
		if place.home, err = serverHome(dataDir, elsewhere, place.as, say); err != nil {
			return nil, err
		}
	}
	for _, start := range []func() (Part, error){
		func() (Part, error) { return s.startNATS(cfg) },
		func() (Part, error) { return s.startRedis(ctx, cfg, place) },
		func() (Part, error) { return s.startPostgres(ctx, cfg, place, say) },
	} {
		part, err := start()
		if err != nil {
			return nil, err
		}
		s.Parts = append(s.Parts, part)
		say(part.String())
	}
	return s, nil
}

// place is where and as whom the servers of a data folder run.
type place struct {
	as   *account
	home string   // server data
	logs string   // the data folder
	hold *os.File // the servers' lock
}

func (s *Stack) startNATS(cfg Config) (Part, error) {
	if cfg.NATSURL != "" {
		s.NATSURL = cfg.NATSURL
		return Part{Name: "NATS", Choice: "given by NATS_URL", Found: true}, nil
	}
	nats, err := StartNATS(cfg.NATSPort)
	if err != nil {
		return Part{}, err
	}
	s.nats, s.NATSURL = nats, nats.URL()
	return Part{Name: "NATS", Choice: "in-process, on " + s.NATSURL, Version: server.VERSION, Why: "as NATS_URL is not set", Found: true}, nil
}

func (s *Stack) startRedis(ctx context.Context, cfg Config, place *place) (Part, error) {
	if cfg.RedisURL != "" {
		version, err := redisVersionAt(ctx, cfg.RedisURL)
		if err != nil {
			return Part{}, fmt.Errorf("Redis given by REDIS_URL: %w", err)
		}
		s.RedisURL = cfg.RedisURL
		return Part{Name: "Redis", Choice: "given by REDIS_URL", Version: version, Found: true}, nil
	}
	bin, err := findRedis(place.as)
	if err != nil {
		mini, startErr := StartMiniRedis()
		if startErr != nil {
			return Part{}, startErr
		}
		s.mini, s.RedisURL = mini, mini.URL()
		return miniPart(err), nil
	}
	run, temporary, err := runDir(filepath.Join(place.home, "run"), place.as)
	if err != nil {
		return Part{}, err
	}
	s.redis = &RedisServer{
		bin: bin, as: place.as, data: filepath.Join(place.home, "redis"), run: run, temporary: temporary,
		log: filepath.Join(place.logs, "redis.log"), append: "everysec", hold: place.hold,
	}
	if err := place.as.own(s.redis.data); err != nil {
		return Part{}, err
	}
	if err := s.redis.Start(ctx); err != nil {
		return Part{}, err
	}
	s.RedisURL = s.redis.URL(0)
	return redisPart(bin), nil
}

func redisPart(bin redisBinary) Part {
	return Part{Name: "Redis", Choice: "private " + bin.name + " on a unix socket", Version: bin.version, Why: "as " + bin.path + " is on PATH", Found: true}
}

func miniPart(why error) Part {
	return Part{
		Name: "Redis", Choice: "in-process miniredis", Why: why.Error(), Found: true,
		Warning: "it is for trying out, and after a restart only what is in Postgres is still there", Fix: redisFix,
	}
}

func (s *Stack) startPostgres(ctx context.Context, cfg Config, place *place, say func(string)) (Part, error) {
	if cfg.DatabaseURL != "" {
		version, err := postgresVersionAt(ctx, cfg.DatabaseURL)
		if err != nil {
			return Part{}, fmt.Errorf("Postgres given by DATABASE_URL: %w", err)
		}
		s.DatabaseURL = cfg.DatabaseURL
		return Part{Name: "Postgres", Choice: "given by DATABASE_URL", Version: version, Found: true}, nil
	}
	data := filepath.Join(place.home, "postgres")
	bin, err := choosePostgres(cfg, data, place.as)
	if errors.Is(err, errFetchable) {
		bin, err = fetchPostgres(ctx, cfg.CacheDir, place.as, say)
	}
	if err != nil {
		return Part{}, err
	}
	run, temporary, err := runDir(filepath.Join(place.home, "run"), place.as)
	if err != nil {
		return Part{}, err
	}
	s.postgres = &PostgresServer{
		bin: bin, as: place.as, data: data, run: run, temporary: temporary,
		log: filepath.Join(place.logs, "postgres.log"), hold: place.hold,
	}
	if major, err := clusterMajor(data); err != nil {
		return Part{}, err
	} else if major == 0 {
		if err := initCluster(bin, place.as, data); err != nil {
			return Part{}, err
		}
	}
	if err := s.postgres.Start(ctx); err != nil {
		return Part{}, err
	}
	if err := s.postgres.createDatabase(ctx, "livecart"); err != nil {
		return Part{}, err
	}
	s.DatabaseURL = s.postgres.URL("livecart")
	return postgresPart(bin), nil
}

func postgresPart(bin pgBinaries) Part {
	return Part{Name: "Postgres", Choice: "private cluster run by " + bin.dir, Version: bin.version, Why: bin.why, Found: true}
}

// Close ends the servers that Start started, in order and all at once, within about 4 s, and gives the data folder up.
// It is safe to call again, and from any goroutine.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		errs := make([]error, 3)
		var ending sync.WaitGroup
		if s.redis != nil {
			ending.Go(func() { errs[0] = s.redis.Close() })
		}
		if s.postgres != nil {
			ending.Go(func() { errs[1] = s.postgres.Close() })
		}
		if s.mini != nil {
			s.mini.Close()
		}
		if s.nats != nil {
			s.nats.Close()
		}
		ending.Wait()
		errs[2] = s.lock.release()
		s.closed = errors.Join(errs...)
	})
	return s.closed
}
