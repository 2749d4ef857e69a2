package loadtest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"livecart/proto"
)

// secured is a gateway over TLS with a certificate that signed itself, and how to join it.
func secured(t *testing.T) (*gateway, ViewerConfig) {
	g := serve(t, func(g *gateway) {
		g.tls = true
		g.answer = func(c *socket, cmd *proto.Command) { c.ok(cmd, nil) }
	})
	target, err := g.target().prepare()
	if err != nil {
		t.Fatal(err)
	}
	cfg := g.config()
	cfg.TLS = target.tls
	return g, cfg
}

func TestViewerOverTLS(t *testing.T) {
	t.Parallel()
	g, cfg := secured(t)
	if !strings.HasPrefix(cfg.URL, "wss://") {
		t.Fatal(cfg.URL)
	}
	for _, format := range []proto.Format{proto.Binary, proto.JSON} {
		cfg.Format = format
		v, err := Join(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if reply, err := v.Do(t.Context(), ping()); err != nil || reply.GetOk() == nil {
			t.Errorf("%v: %v, %v", format, reply, err)
		}
		v.Close()
	}
	cfg.TLS = nil
	_, err := Join(t.Context(), cfg)
	fails(t, err, "certificate signed by unknown authority; a certificate of an authority that this system does not know, or its own, needs a CA file")
	// The certificate is of 127.0.0.1 and example.com.
	target, err := g.target().prepare()
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS = target.tls.Clone()
	cfg.TLS.ServerName = "live.example"
	_, err = Join(t.Context(), cfg)
	fails(t, err, "not live.example")
}

func TestSwarmOverTLS(t *testing.T) {
	t.Parallel()
	_, cfg := secured(t)
	s, err := NewSwarm(SwarmConfig{Viewers: 3, Goroutines: true})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(chan error, 3)
	for i := range 3 {
		own := cfg
		if i == 2 {
			own.TLS = nil
		}
		s.Join(i, own, func(_ *proto.SessionWelcome, err error) {
			if err == nil {
				s.Send(i, ping(), func(_ *proto.Reply, err error) { outcomes <- err })
				return
			}
			outcomes <- err
		})
	}
	failed := 0
	for range 3 {
		if err := <-outcomes; err != nil {
			failed++
			fails(t, err, "needs a CA file")
		}
	}
	if failed != 1 {
		t.Errorf("%d viewers failed, one does not trust the gateway", failed)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Whole runs: viewers, those who come and go, and the shop's pages.
func TestRunsOverTLS(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, func(r *room) { r.tls = true })
	result, err := lasting(t, target).Run(t.Context())
	if err != nil || !result.Passed {
		t.Fatalf("%+v: %v", result, err)
	}
	fanout, err := Fanout{Target: target, Viewers: 10, Rate: 5, For: time.Second, MostLate: time.Minute, news: 5 * time.Second}.Run(t.Context())
	if err != nil || !fanout.Passed {
		t.Fatalf("%+v: %v", fanout, err)
	}
	r.nobodyIsLeft(t)
}

func TestAuthoritiesRefused(t *testing.T) {
	target := Target{Gateways: []string{"https://127.0.0.1:1"}, Room: "demo"}
	for name, tt := range map[string]struct{ path, want string }{
		"missing":        {filepath.Join(t.TempDir(), "missing"), "target: authorities: open "},
		"no certificate": {keyFile(t, testKey), "holds no PEM certificate"},
		"a key":          {file(t, "-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----\n"), "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			target.CAFile = tt.path
			_, err := target.prepare()
			fails(t, err, tt.want)
		})
	}
}
