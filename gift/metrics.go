package gift

import (
	"github.com/prometheus/client_golang/prometheus"

	"livecart/session/store"
)

func newTipTotal(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	return store.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_tip_total",
		Help: "Answers to gift_send: booked, or the reason of the refusal.",
	}, []string{"result"}))
}
