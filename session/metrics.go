package session

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"livecart/session/store"
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
	var errs [6]error
	dropped, errs[0] = store.Register(r, dropped)
	m.connections, errs[1] = store.Register(r, m.connections)
	m.slowClosed, errs[2] = store.Register(r, m.slowClosed)
	m.fanout, errs[3] = store.Register(r, m.fanout)
	m.commands, errs[4] = store.Register(r, m.commands)
	m.refused, errs[5] = store.Register(r, m.refused)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	m.sampled, m.skipped = dropped.WithLabelValues("sampled"), dropped.WithLabelValues("skipped")
	return m, nil
}
