package main

import (
	"encoding/json"
	"net/http"

	"livecart/gift"
	"livecart/proto"
	"livecart/session"
)

// listGifts answers with the whole catalogue, which needs no token.
func (p *parts) listGifts(w http.ResponseWriter, r *request) error {
	gifts, etag, err := p.gifts.Catalogue(r.Context())
	if err != nil {
		return err
	}
	list, err := wireList(gifts)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Gifts []json.RawMessage `json:"gifts"`
	}{list})
	if err != nil {
		return err
	}
	return session.WriteCachedBody(w, r.Request, "application/json", etag, body)
}

// putGift adds a gift to the catalogue or replaces it, for operators.
func (p *parts) putGift(w http.ResponseWriter, r *request) error {
	if r.viewer.Role != proto.Role_ROLE_OPERATOR {
		return proto.Refuse(proto.ReasonForbidden, "the catalogue is the operators'")
	}
	put := new(proto.Gift)
	if err := session.ReadMessage(w, r.Request, put); err != nil {
		return err
	}
	put.Id = r.PathValue("gift")
	if err := p.gifts.PutGift(r.Context(), put); err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, put)
}

func (p *parts) readWallet(w http.ResponseWriter, r *request) error {
	balance, err := p.gifts.Wallet(r.Context(), r.viewer.ID)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, balance)
}

// topUp is a gift.TopUp as the API shows it; plain numbers, as no beans that can be bought come near
// what a JSON number holds.
type topUp struct {
	ID    string `json:"id"`
	Beans int64  `json:"beans"`
	// Amount is in minor units of Currency.
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	// URL is where the buyer pays.
	URL string `json:"url"`
	// State is "awaiting_payment" or "paid".
	State       string `json:"state"`
	ExpiresAtMs int64  `json:"expires_at_ms"`
}

func newTopUp(t *gift.TopUp) topUp {
	return topUp{
		ID: t.ID, Beans: t.Beans, Amount: t.Amount, Currency: t.Currency,
		URL: t.URL, State: t.State, ExpiresAtMs: t.ExpiresAt.UnixMilli(),
	}
}

// postTopUp asks for the payment of beans. Under a key that was used it answers with that top-up as
// it is now.
func (p *parts) postTopUp(w http.ResponseWriter, r *request) error {
	var want struct {
		Beans whole `json:"beans"`
	}
	if err := session.ReadJSON(w, r.Request, &want); err != nil {
		return err
	}
	t, err := p.gifts.TopUp(r.Context(), r.viewer.ID, r.key, int64(want.Beans))
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusCreated, newTopUp(t))
}
