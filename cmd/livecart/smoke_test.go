package main

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"livecart/loadtest"
)

// smokeViewers is the crowd of a smoke in tests.
const smokeViewers = 40

// smoke plays the smoke scenario in a small size against a dev of this process.
func smoke(t *testing.T, info *readyInfo, gateways ...string) *loadtest.Result {
	t.Helper()
	target := loadtest.Target{Room: info.Room, HostToken: info.HostToken, DatabaseURL: info.DatabaseURL, JWTKeyFile: info.JWTKeyFile, Gateways: gateways}
	if len(gateways) == 0 {
		for _, g := range info.Gateways {
			target.Gateways = append(target.Gateways, g.URL)
		}
	}
	var told bytes.Buffer
	recorder := loadtest.NewRecorder(&told)
	s := loadtest.Smoke{Recorder: recorder, Target: target, Viewers: smokeViewers, TalkSeconds: 3, Pieces: 20, AttemptsPerPiece: 6, Audit: func(ctx context.Context) (violated []string, err error) {
		if err := recorder.Close(); err != nil {
			return nil, err
		}
		records, err := loadtest.ReadRecords(&told)
		if err != nil {
			return nil, err
		}
		report, err := audit(ctx, info.DatabaseURL, history{records: records})
		if err != nil {
			return nil, err
		}
		for _, v := range report.Violations {
			violated = append(violated, fmt.Sprint(v))
		}
		return violated, nil
	}}
	result, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range result.Invalid {
		t.Fatal(why)
	}
	for _, c := range result.Checks {
		t.Logf("%-22s ok=%v %s%s", c.Name, c.OK, c.Detail, c.Skipped)
	}
	return result
}

func TestSmokePasses(t *testing.T) {
	info := startDev(t)
	if result := smoke(t, info); !result.Passed {
		t.Error("a check failed")
	}
}
