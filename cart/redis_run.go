package cart

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"livecart/session/store"
)

// redisRun names the running Redis servers: it changes when one of them restarts or another takes
// over, and what was in memory may be lost. Servers that do not tell (miniredis) have no name; of
// them only missing keys are noticed.
func redisRun(ctx context.Context, rdb redis.UniversalClient) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, store.RedisTimeout)
	defer cancel()
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return runOf(ctx, rdb)
	}
	var mu sync.Mutex
	var runs []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		run, err := runOf(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		runs = append(runs, run)
		return err
	})
	slices.Sort(runs)
	return strings.Join(runs, " "), err
}

func runOf(ctx context.Context, server redis.Cmdable) (string, error) {
	info, err := server.Info(ctx, "server").Result()
	if err != nil && strings.Contains(err.Error(), "not supported") {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("redis run id: %w", err)
	}
	for line := range strings.Lines(info) {
		if run, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(run), nil
		}
	}
	return "", nil
}
