package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"livecart/session/bus"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// A process that starts before its Redis waits for it.
func TestStartWaitsForAServer(t *testing.T) {
	server := stacktest.PrivateRedis(t)
	server.Stop()
	var start sync.Once
	tries := 0
	client, err := patiently(t.Context(), slog.New(slog.DiscardHandler), "Redis", func(ctx context.Context) (redis.UniversalClient, error) {
		tries++
		client, err := store.OpenRedis(ctx, server.URL)
		if err != nil {
			start.Do(server.Start)
		}
		return client, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if tries < 2 {
		t.Errorf("opened at try %d of a server that was away", tries)
	}
}

func TestStartWaitsForABoundedTime(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := closed.Addr().String()
	closed.Close()
	for server, open := range map[string]func(context.Context) (any, error){
		"Postgres": func(ctx context.Context) (any, error) { return store.OpenPostgres(ctx, "postgres://x@"+at+"/x") },
		"Redis":    func(ctx context.Context) (any, error) { return store.OpenRedis(ctx, "redis://"+at) },
		"NATS":     func(ctx context.Context) (any, error) { return bus.Connect(ctx, bus.Config{URL: "nats://" + at}) },
	} {
		t.Run(server, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			tries := 0
			_, err := patiently(ctx, slog.New(slog.DiscardHandler), server, func(ctx context.Context) (any, error) {
				tries++
				return open(ctx)
			})
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want what the server's address said", err)
			}
			if tries < 2 {
				t.Errorf("tried %d times", tries)
			}
		})
	}
}

func TestStartDoesNotWaitForWhatStays(t *testing.T) {
	for name, open := range map[string]func(context.Context) (any, error){
		"an address that is none": func(ctx context.Context) (any, error) { return store.OpenRedis(ctx, "http://x") },
		"a password that is wrong": func(ctx context.Context) (any, error) {
			return nil, errors.New("WRONGPASS invalid username-password pair")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			_, err := patiently(t.Context(), slog.New(slog.DiscardHandler), "Redis", func(ctx context.Context) (any, error) {
				tries++
				return open(ctx)
			})
			if err == nil || tries != 1 {
				t.Errorf("%v after %d tries, want an error after one", err, tries)
			}
		})
	}
}
