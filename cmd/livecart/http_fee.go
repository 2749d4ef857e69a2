package main

import (
	"net/http"
	"time"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// feePolicy is a cart.FeePolicy as the API shows it; the defaults have no since_ms.
type feePolicy struct {
	SinceMs int64 `json:"since_ms"`
	// Parts per million.
	SalePPM int64  `json:"sale_ppm"`
	TipPPM  int64  `json:"tip_ppm"`
	SetBy   string `json:"set_by,omitempty"`
	SetAtMs int64  `json:"set_at_ms,omitempty"`
}

func newFeePolicy(p cart.FeePolicy) feePolicy {
	f := feePolicy{SalePPM: p.SalePPM, TipPPM: p.TipPPM, SetBy: p.SetBy}
	if !p.Since.IsZero() {
		f.SinceMs, f.SetAtMs = p.Since.UnixMilli(), p.SetAt.UnixMilli()
	}
	return f
}

// putFees sets a shop's fees from a time on, for operators.
func (p *parts) putFees(w http.ResponseWriter, r *request) error {
	if err := ofOperator(r.viewer); err != nil {
		return err
	}
	var want struct {
		SinceMs *whole `json:"since_ms"`
		SalePPM *whole `json:"sale_ppm"`
		TipPPM  *whole `json:"tip_ppm"`
	}
	if err := session.ReadJSON(w, r.Request, &want); err != nil {
		return err
	}
	if want.SalePPM == nil || want.TipPPM == nil {
		return proto.Refuse(proto.ReasonInvalidArgument, "a fee policy has sale_ppm and tip_ppm")
	}
	var since time.Time
	if want.SinceMs != nil {
		since = time.UnixMilli(int64(*want.SinceMs))
	}
	put, err := p.cart.PutFees(r.Context(), r.PathValue("shop"), since, int64(*want.SalePPM), int64(*want.TipPPM), r.viewer.ID)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, newFeePolicy(put))
}

// readFees answers with a shop's fees, for its hosts and operators.
func (p *parts) readFees(w http.ResponseWriter, r *request) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	inForce, all, err := p.cart.Fees(r.Context(), shopID)
	if err != nil {
		return err
	}
	answer := struct {
		InForce  feePolicy   `json:"in_force"`
		Policies []feePolicy `json:"policies"`
	}{newFeePolicy(inForce), make([]feePolicy, 0, len(all))}
	for _, f := range all {
		answer.Policies = append(answer.Policies, newFeePolicy(f))
	}
	return session.WriteJSON(w, http.StatusOK, answer)
}
