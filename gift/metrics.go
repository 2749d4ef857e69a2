package gift

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// register adds a metric, or returns the one of the same name that is there already: both sides,
// and other packages' ledgers, share metrics in one process.
func register[C prometheus.Collector](r prometheus.Registerer, metric C) (C, error) {
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
		return metric, fmt.Errorf("gift metrics: %w", err)
	}
	return metric, nil
}

func newTipTotal(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_tip_total",
		Help: "Answers to gift_send: booked, or the reason of the refusal.",
	}, []string{"result"}))
}

// ledgerMetrics are shared with the other kinds of ledger; name, help and label must be the same
// everywhere.
type ledgerMetrics struct {
	batchSize prometheus.Observer
	seconds   prometheus.Observer
}

func newLedgerMetrics(r prometheus.Registerer) (ledgerMetrics, error) {
	size, err := register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "livecart_ledger_batch_size",
		Help:    "Requests that a ledger worker decided in one transaction.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 9),
	}, []string{"kind"}))
	if err != nil {
		return ledgerMetrics{}, err
	}
	seconds, err := register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "livecart_ledger_seconds",
		Help:    "Time of a ledger worker's transaction, retries included.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
	}, []string{"kind"}))
	if err != nil {
		return ledgerMetrics{}, err
	}
	return ledgerMetrics{batchSize: size.WithLabelValues("tip"), seconds: seconds.WithLabelValues("tip")}, nil
}
