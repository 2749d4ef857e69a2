package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestStagesStopLastFirst(t *testing.T) {
	var mu sync.Mutex
	var ended []string
	until := func(name string) component {
		return component{name, func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, name)
			return ctx.Err()
		}}
	}
	broken := component{"broken", func(context.Context) error { return errors.New("fell over") }}
	err := runStages(t.Context(), stage{until("pool")}, stage{until("ledger"), broken}, stage{until("gateway")})
	if err == nil || err.Error() != "broken: fell over" {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(ended, []string{"gateway", "ledger", "pool"}) {
		t.Errorf("ended in the order %s", strings.Join(ended, ", "))
	}
}

func TestStagesEndQuietlyWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	one := component{"one", func(ctx context.Context) error {
		close(running)
		<-ctx.Done()
		return ctx.Err()
	}}
	done := make(chan error)
	go func() { done <- runStages(ctx, stage{one}) }()
	<-running
	cancel()
	if err := <-done; err != nil {
		t.Errorf("error %v", err)
	}
}
