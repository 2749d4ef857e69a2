package store

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds a metric, or returns the one of its name that is there already: gateways and workers
// of one process share their registry, and some metrics belong to several packages. Without a
// registerer the metric stays private.
func Register[C prometheus.Collector](r prometheus.Registerer, metric C) (C, error) {
	if r == nil {
		return metric, nil
	}
	err := r.Register(metric)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	if err != nil {
		return metric, fmt.Errorf("metrics: %w", err)
	}
	return metric, nil
}

// Degraded returns livecart_degraded{part}: 1 while the part works with less than it should.
func Degraded(r prometheus.Registerer, part string) (prometheus.Gauge, error) {
	vec, err := Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "livecart_degraded",
		Help: "Whether a part works with less than it should, 1 or 0.",
	}, []string{"part"}))
	if err != nil {
		return nil, err
	}
	return vec.WithLabelValues(part), nil
}

// LedgerMetrics are what every kind of ledger worker tells of its transactions.
type LedgerMetrics struct {
	BatchSize prometheus.Observer
	Seconds   prometheus.Observer
}

// NewLedgerMetrics returns livecart_ledger_batch_size{kind} and livecart_ledger_seconds{kind}.
func NewLedgerMetrics(r prometheus.Registerer, kind string) (LedgerMetrics, error) {
	size, err := Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "livecart_ledger_batch_size",
		Help:    "Requests that a ledger worker decided in one transaction.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 9),
	}, []string{"kind"}))
	if err != nil {
		return LedgerMetrics{}, err
	}
	seconds, err := Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "livecart_ledger_seconds",
		Help:    "Time of a ledger worker's transaction, retries included.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
	}, []string{"kind"}))
	if err != nil {
		return LedgerMetrics{}, err
	}
	return LedgerMetrics{BatchSize: size.WithLabelValues(kind), Seconds: seconds.WithLabelValues(kind)}, nil
}
