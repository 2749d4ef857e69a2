package session

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the gateways; never a room or a user as a label.
type metrics struct {
	connections prometheus.Gauge
	sampled     prometheus.Counter
	skipped     prometheus.Counter
	slowClosed  prometheus.Counter
	fanout      prometheus.Histogram
	commands    *prometheus.CounterVec
	refused     *prometheus.CounterVec
}

// newMetrics registers the metrics. Gateways of one process and registerer share them.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_ws_dropped_total",
		Help: "Comments not delivered: sampled once a room, skipped once a slow viewer.",
	}, []string{"class"})
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "livecart_ws_connections", Help: "WebSocket connections.",
		}),
		slowClosed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "livecart_ws_slow_closed_total", Help: "Connections closed with 4008.",
		}),
		fanout: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "livecart_fanout_seconds",
			Help:    "From the first event of a flush to its hand-over to the last connection's queue.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "livecart_commands_total", Help: "Commands by kind and by ok or the reason of refusal.",
		}, []string{"kind", "result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "livecart_ws_refused_total", Help: "Handshakes refused, by reason.",
		}, []string{"reason"}),
	}
	err := errors.Join(
		register(r, &dropped), register(r, &m.connections), register(r, &m.slowClosed),
		register(r, &m.fanout), register(r, &m.commands), register(r, &m.refused),
	)
	if err != nil {
		return nil, fmt.Errorf("gateway metrics: %w", err)
	}
	m.sampled, m.skipped = dropped.WithLabelValues("sampled"), dropped.WithLabelValues("skipped")
	return m, nil
}

// register registers c, or puts the one that was registered before in its place.
func register[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	if r == nil {
		return nil
	}
	err := r.Register(*c)
	var known prometheus.AlreadyRegisteredError
	if errors.As(err, &known) {
		if existing, ok := known.ExistingCollector.(C); ok {
			*c = existing
			return nil
		}
	}
	return err
}
