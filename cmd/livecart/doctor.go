package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"livecart/session/stack"
)

// doctorCommand tells what this machine has.
type doctorCommand struct {
	Data    string `help:"Data folder of dev." default:".livecart" type:"path"`
	Offline bool   `help:"As dev --offline."`
	JSON    bool   `help:"Print JSON."`

	DatabaseURL string `name:"database-url" env:"DATABASE_URL" hidden:""`
	RedisURL    string `name:"redis-url" env:"REDIS_URL" hidden:""`
	NATSURL     string `name:"nats-url" env:"NATS_URL" hidden:""`
}

// comfortableDescriptors is where doctor stops advising to raise the limit: about this many viewers
// fit one gateway.
const comfortableDescriptors = 65_536

// Run prints a line for each part and fails when one cannot be had.
func (c *doctorCommand) Run() error {
	parts := append([]stack.Part{{Name: "Go", Choice: runtime.GOOS + "/" + runtime.GOARCH, Version: runtime.Version(), Found: true}},
		stack.Probe(stack.Config{DataDir: c.Data, Offline: c.Offline, PGBin: os.Getenv("LIVECART_PG_BIN"), DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL, NATSURL: c.NATSURL})...)
	parts = append(parts, descriptors())
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(parts); err != nil {
			return err
		}
	}
	missing := false
	for _, p := range parts {
		missing = missing || !p.Found
		if c.JSON {
			continue
		}
		mark := "ok     "
		if !p.Found {
			mark = "missing"
		}
		fmt.Println(mark, p)
		if p.Fix != "" {
			fmt.Println("        fix:", p.Fix)
		}
	}
	if missing {
		return errViolated
	}
	return nil
}

// descriptors tells how many connections a gateway may hold.
func descriptors() stack.Part {
	p := stack.Part{Name: "Descriptors", Found: true}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		p.Warning = err.Error()
		return p
	}
	p.Choice = fmt.Sprintf("%d a process", limit.Max)
	if limit.Max < comfortableDescriptors {
		p.Why = "so a gateway takes a little fewer viewers"
		p.Fix = fmt.Sprintf("raise the limit for more (ulimit -Hn %d, or LimitNOFILE= of its service)", comfortableDescriptors)
	}
	return p
}
