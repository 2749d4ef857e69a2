package chat

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"livecart/proto"
)

type metrics struct {
	comments *prometheus.CounterVec
	degraded prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	comments, err := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_chat_total",
		Help: "Comments by what became of them: ok, same (sent again under its key), or the reason of the refusal.",
	}, []string{"result"}))
	if err != nil {
		return nil, err
	}
	degraded, err := register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "livecart_degraded",
		Help: "Whether a part works with less than it should, 1 or 0.",
	}, []string{"part"}))
	if err != nil {
		return nil, err
	}
	m := &metrics{comments: comments, degraded: degraded.WithLabelValues("chat_limit")}
	m.degraded.Set(0)
	return m, nil
}

// register registers c or returns the collector of the same name that is there: livecart_degraded
// belongs to several packages, and gateways of one process share their registry.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	if reg == nil {
		return c, nil
	}
	err := reg.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("chat metrics: %w", err)
	}
	return c, nil
}

func (m *metrics) refused(err error) {
	result := proto.ReasonInternal
	var p *proto.Problem
	if errors.As(err, &p) {
		result = p.Reason
	}
	m.comments.WithLabelValues(string(result)).Inc()
}
