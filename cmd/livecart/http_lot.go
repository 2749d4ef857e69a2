package main

import (
	"net/http"

	"livecart/gift"
	"livecart/session"
)

// listLots answers with the asker's lots of beans, or for an operator those of any user.
func (p *parts) listLots(w http.ResponseWriter, r *request) error {
	user := r.URL.Query().Get("user")
	if user == "" {
		user = r.viewer.ID
	}
	if err := ofUser(r.viewer, user); err != nil {
		return err
	}
	found, err := p.gifts.Lots(r.Context(), user)
	if err != nil {
		return err
	}
	type lot struct {
		ID    string `json:"id"`
		Kind  string `json:"kind"`
		Beans int64  `json:"beans"`
		Left  int64  `json:"left"`
		// Amounts are in minor units of Currency.
		Amount         int64  `json:"amount"`
		Currency       string `json:"currency"`
		Refunded       int64  `json:"refunded"`
		RefundedAmount int64  `json:"refunded_amount"`
		AtMs           int64  `json:"at_ms"`
	}
	page := struct {
		Lots []lot `json:"lots"`
	}{make([]lot, 0, len(found))}
	for _, l := range found {
		page.Lots = append(page.Lots, lot{
			l.ID, l.Kind, l.Beans, l.Left, l.Amount, l.Currency, l.Refunded, l.RefundedAmount, l.At.UnixMilli(),
		})
	}
	return session.WriteJSON(w, http.StatusOK, page)
}

// refundLot gives beans of a lot back for their money, for operators.
func (p *parts) refundLot(w http.ResponseWriter, r *request) error {
	if err := ofOperator(r.viewer); err != nil {
		return err
	}
	var want struct {
		Beans *whole `json:"beans"`
	}
	if r.ContentLength != 0 {
		if err := session.ReadJSON(w, r.Request, &want); err != nil {
			return err
		}
	}
	beans := int64(0)
	if want.Beans != nil {
		if beans = int64(*want.Beans); beans < 1 {
			return gift.ErrBeansBack
		}
	}
	f, err := p.gifts.RefundLot(r.Context(), r.PathValue("lot"), r.viewer.ID, r.key, beans)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusCreated, struct {
		ID       string `json:"id"`
		Lot      string `json:"lot"`
		User     string `json:"user"`
		Beans    int64  `json:"beans"`
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
		State    string `json:"state"`
		AtMs     int64  `json:"at_ms"`
		Balance  int64  `json:"balance"`
		Version  int64  `json:"version"`
	}{f.ID, f.LotID, f.UserID, f.Beans, f.Amount, f.Currency, f.State, f.At.UnixMilli(), f.Balance, f.Version})
}

// reverseTip takes a tip back, for operators.
func (p *parts) reverseTip(w http.ResponseWriter, r *request) error {
	if err := ofOperator(r.viewer); err != nil {
		return err
	}
	var want struct {
		Reason string `json:"reason"`
	}
	if err := session.ReadJSON(w, r.Request, &want); err != nil {
		return err
	}
	v, err := p.gifts.ReverseTip(r.Context(), r.PathValue("tip"), r.viewer.ID, r.key, want.Reason)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusCreated, struct {
		ID        string `json:"id"`
		Tip       string `json:"tip"`
		Room      string `json:"room"`
		Host      string `json:"host"`
		Sender    string `json:"sender"`
		Beans     int64  `json:"beans"`
		HostBeans int64  `json:"host_beans"`
		FeeBeans  int64  `json:"fee_beans"`
		Reason    string `json:"reason"`
		AtMs      int64  `json:"at_ms"`
		Balance   int64  `json:"balance"`
		Version   int64  `json:"version"`
	}{v.ID, v.TipID, v.RoomID, v.HostID, v.SenderID, v.Beans, v.HostBeans, v.FeeBeans, v.Reason, v.At.UnixMilli(), v.Balance, v.Version})
}
