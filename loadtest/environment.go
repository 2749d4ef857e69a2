package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
)

// Environment is what a run ran on, as far as it could be found out.
type Environment struct {
	// Of this program and its machine. Version is livecart's own.
	Version string `json:"version,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	CPU     string `json:"cpu"`
	// Of the servers: what they were built with, and what they stand on.
	Servers  []string `json:"servers,omitempty"`
	Backends []string `json:"backends,omitempty"`
	// Agents are those that played, each with its machine, build, and how far its clock was ahead.
	Agents []string `json:"agents,omitempty"`
	// Warnings are what makes the figures worth less.
	Warnings []string `json:"warnings,omitempty"`
}

// line is one line of a table.
type line struct{ Name, Value string }

func (e Environment) lines() []line {
	var lines []line
	for _, l := range []line{{"machine", e.CPU}, {"system", e.OS}, {"loadtest", strings.TrimSpace(e.Version + " " + e.Go)}, {"servers", strings.Join(e.Servers, "; ")}, {"backends", strings.Join(e.Backends, ", ")}, {"agents", strings.Join(e.Agents, "; ")}} {
		if l.Value != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// describeTimeout bounds how long one part may take to say what it is.
const describeTimeout = 5 * time.Second

// describe finds out what can be found out. What does not answer is named as such: a run needs none of it.
func describe(ctx context.Context, t Target) Environment {
	e := Environment{
		Version: version(),
		Go:      runtime.Version(),
		OS:      runtime.GOOS + "/" + runtime.GOARCH,
		CPU:     fmt.Sprintf("%d CPUs%s", runtime.NumCPU(), cpuModel()),
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		e.OS += " " + string(bytes.TrimSpace(release))
	}
	for _, part := range []struct {
		name, url string
		version   func(context.Context, string) (string, error)
	}{{"Postgres", t.DatabaseURL, postgresVersion}, {"Redis", t.RedisURL, redisVersion}, {"NATS", t.NATSURL, natsVersion}} {
		if part.url == "" {
			continue
		}
		version, err := within(ctx, part.url, part.version)
		if err != nil {
			version = "of unknown version"
		}
		e.Backends = append(e.Backends, part.name+" "+version)
		if version == miniredis {
			e.Warnings = append(e.Warnings, "Redis was miniredis, which is for trying out: its times say nothing about a real one")
		}
	}
	for _, gone := range t.Servers.gone {
		e.Warnings = append(e.Warnings, "figures of a server are left out: "+gone)
	}
	for _, url := range t.Servers.MetricsURLs {
		e.Servers = append(e.Servers, url+": "+t.Servers.build(ctx, url))
	}
	return e
}

func within(ctx context.Context, url string, version func(context.Context, string) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	return version(ctx, url)
}

// cpuModel is what Linux calls the processor, after a separator; empty elsewhere.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if key, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return ", " + strings.TrimSpace(model)
		}
	}
	return ""
}

func postgresVersion(ctx context.Context, url string) (version string, err error) {
	err = readDatabase(ctx, url, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SHOW server_version`).Scan(&version)
	})
	return version, err
}

// miniredis is the version of a Redis that is none.
const miniredis = "(miniredis)"

func redisVersion(ctx context.Context, url string) (string, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", err
	}
	client := redis.NewClient(options)
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if redis.HasErrorPrefix(err, "section (server) is not supported") { // miniredis knows two sections only
		return miniredis, nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return strings.TrimSpace(version), nil
		}
	}
	return "", fmt.Errorf("no redis_version in its INFO")
}

func natsVersion(ctx context.Context, url string) (string, error) {
	deadline, _ := ctx.Deadline()
	conn, err := nats.Connect(url, nats.Timeout(time.Until(deadline)), nats.NoReconnect())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectedServerVersion(), nil
}
