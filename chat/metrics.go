package chat

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"livecart/proto"
	"livecart/session/store"
)

type metrics struct {
	comments *prometheus.CounterVec
	degraded prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	comments, err := store.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_chat_total",
		Help: "Comments by what became of them: ok, same (sent again under its key), or the reason of the refusal.",
	}, []string{"result"}))
	if err != nil {
		return nil, err
	}
	degraded, err := store.Degraded(reg, "chat_limit")
	if err != nil {
		return nil, err
	}
	m := &metrics{comments: comments, degraded: degraded}
	m.degraded.Set(0)
	return m, nil
}

func (m *metrics) refused(err error) {
	result := proto.ReasonInternal
	var p *proto.Problem
	if errors.As(err, &p) {
		result = p.Reason
	}
	m.comments.WithLabelValues(string(result)).Inc()
}
