package main

import (
	"net/http"
	"strconv"
	"time"

	"livecart/gift"
	"livecart/proto"
	"livecart/session"
)

// settlement is a gift.Settlement as the API shows it.
type settlement struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	// N counts the host's settlements from 1.
	N         int64 `json:"n"`
	UntilMs   int64 `json:"until_ms"`
	Tips      int64 `json:"tips"`
	Reversals int64 `json:"reversals"`
	// Beans.
	Earned     int64 `json:"earned"`
	DebtBefore int64 `json:"debt_before"`
	Beans      int64 `json:"beans"`
	DebtAfter  int64 `json:"debt_after"`
	// Amount is in minor units of Currency, Rest in sevenths of one.
	Amount   int64  `json:"amount"`
	Rest     int64  `json:"rest"`
	Currency string `json:"currency"`
	AtMs     int64  `json:"at_ms"`
}

func newSettlement(s gift.Settlement) settlement {
	return settlement{
		ID: s.ID, Host: s.HostID, N: s.N, UntilMs: s.Until.UnixMilli(), Tips: s.Tips, Reversals: s.Reversals,
		Earned: s.Earned, DebtBefore: s.DebtBefore, Beans: s.Beans, DebtAfter: s.DebtAfter,
		Amount: s.Amount, Rest: s.Rest, Currency: s.Currency, AtMs: s.At.UnixMilli(),
	}
}

// postSettlement pays a host for what is not settled yet.
func (p *parts) postSettlement(w http.ResponseWriter, r *request) error {
	if err := ofOperator(r.viewer); err != nil {
		return err
	}
	var want struct {
		HostID  string `json:"host_id"`
		UntilMs *whole `json:"until_ms"`
	}
	if err := session.ReadJSON(w, r.Request, &want); err != nil {
		return err
	}
	var until time.Time
	if want.UntilMs != nil {
		until = time.UnixMilli(int64(*want.UntilMs))
	}
	s, err := p.gifts.Settle(r.Context(), want.HostID, r.viewer.ID, r.key, until)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusCreated, newSettlement(*s))
}

// listSettlements answers with a page of a host's settlements, for the host and operators.
func (p *parts) listSettlements(w http.ResponseWriter, r *request) error {
	host := r.URL.Query().Get("host")
	if host == "" {
		host = r.viewer.ID
	}
	if err := ofUser(r.viewer, host); err != nil {
		return err
	}
	limit, err := r.number("limit", 20, 1, gift.MaxSettlements)
	if err != nil {
		return err
	}
	before, err := r.number("cursor", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	found, err := p.gifts.Settlements(r.Context(), host, limit, int64(before))
	if err != nil {
		return err
	}
	page := struct {
		Settlements []settlement `json:"settlements"`
		NextCursor  string       `json:"next_cursor"`
	}{Settlements: make([]settlement, 0, len(found))}
	for _, s := range found {
		page.Settlements = append(page.Settlements, newSettlement(s))
	}
	if len(found) == limit && found[limit-1].N > 1 {
		page.NextCursor = strconv.FormatInt(found[limit-1].N, 10)
	}
	return session.WriteJSON(w, http.StatusOK, page)
}

// readEarnings tells how a host stands, to the host and operators.
func (p *parts) readEarnings(w http.ResponseWriter, r *request) error {
	host := r.PathValue("host")
	if err := ofUser(r.viewer, host); err != nil {
		return err
	}
	e, err := p.gifts.Earnings(r.Context(), host)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, struct {
		Host    string `json:"host"`
		Earned  int64  `json:"earned"`
		Settled int64  `json:"settled"`
		Open    int64  `json:"open"`
		Debt    int64  `json:"debt"`
	}{host, e.Earned, e.Settled, e.Open, e.Debt})
}

// ofOperator tells whether the asker is an operator.
func ofOperator(v session.Viewer) error {
	if v.Role != proto.Role_ROLE_OPERATOR {
		return proto.Refuse(proto.ReasonForbidden, "this is for operators")
	}
	return nil
}

// ofUser tells whether the asker may see what is a user's own: the user, and operators.
func ofUser(v session.Viewer, userID string) error {
	if v.ID != userID {
		return ofOperator(v)
	}
	return nil
}
