package cart

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"livecart/proto"
	"livecart/session/store"
)

func newReserveTotal(r prometheus.Registerer) (*prometheus.CounterVec, error) {
	return store.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "livecart_reserve_total",
		Help: "Answers to flash_buy: ordered, or the reason of the refusal.",
	}, []string{"result"}))
}

// result is the label of an answer to flash_buy.
func result(err error) string {
	var p *proto.Problem
	switch {
	case err == nil:
		return "ordered"
	case errors.As(err, &p):
		return string(p.Reason)
	}
	return "error"
}
