package cart

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestConfigIsChecked(t *testing.T) {
	m := newMarket(t)
	for name, change := range map[string]func(cfg *Config){
		"no Postgres":       func(cfg *Config) { cfg.Pool = nil },
		"no Redis":          func(cfg *Config) { cfg.Redis = nil },
		"no bus":            func(cfg *Config) { cfg.Bus = nil },
		"no provider":       func(cfg *Config) { cfg.Provider = nil },
		"a negative window": func(cfg *Config) { cfg.OrderPayWindow = -time.Second },
		"reaping too soon":  func(cfg *Config) { cfg.ReapAfter = MinReapAfter - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := m.cfg
			change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("passed")
			}
		})
	}
	m.expect("flash window", m.cfg.FlashPayWindow, 5*time.Minute)
	m.expect("order window", m.cfg.OrderPayWindow, 30*time.Minute)
	m.expect("sweeps", m.cfg.SweepEvery, time.Second)
	m.expect("reaping", m.cfg.ReapAfter, 30*time.Second)
	cfg := m.cfg
	cfg.ReapAfter = MinReapAfter
	_, err := New(cfg)
	m.must(err)
}

// TestBothSidesShareTheirMetrics has both sides in one process count into one registry, and the
// ledger's sweep expire an order while it runs.
func TestBothSidesShareTheirMetrics(t *testing.T) {
	m := newMarket(t)
	cfg := m.cfg
	cfg.metrics, cfg.Registerer, cfg.SweepEvery = nil, prometheus.NewRegistry(), time.Millisecond
	side, err := New(cfg)
	m.must(err)
	m.cart = side
	ledger, err := NewLedger(cfg)
	m.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	private := m.listen()
	go func() { ended <- ledger.Run(ctx) }()
	o := m.order("k", "tea-s", 1)
	m.notice(success(m.pay(m.order("k2", "tea-s", 1).Id), "e"))
	m.overdue(o.Id)
	private(4) // two made, one paid, one expired
	cancel()
	if err := <-ended; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	families, err := cfg.Registerer.(*prometheus.Registry).Gather()
	m.must(err)
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "livecart_order_total" {
			for _, metric := range family.Metric {
				got[metric.Label[0].GetValue()] = metric.Counter.GetValue()
			}
		}
	}
	for s, want := range map[string]float64{"awaiting_payment": 2, "paid": 1, "expired": 1} {
		m.expect(s, got[s], want)
	}
}
