package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one gateway; never a room or a user as a label.
type metrics struct {
	connections prometheus.Gauge
	sampled     prometheus.Counter
	skipped     prometheus.Counter
	slowClosed  prometheus.Counter
	fanout      prometheus.Histogram
	commands    *prometheus.CounterVec
	refused     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_ws_dropped_total",
		Help: "Comments not delivered: sampled once a room, skipped once a slow viewer.",
	}, []string{"class"})
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "livecart_ws_connections", Help: "WebSocket connections of this gateway.",
		}),
		sampled: dropped.WithLabelValues("sampled"),
		skipped: dropped.WithLabelValues("skipped"),
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
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connections, dropped, m.slowClosed, m.fanout, m.commands, m.refused} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register gateway metrics: %w", err)
		}
	}
	return m, nil
}
