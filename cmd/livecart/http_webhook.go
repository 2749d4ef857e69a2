package main

import (
	"net/http"

	"livecart/cart"
	"livecart/session"
)

// putWebhook makes a webhook of the shop or changes it.
func (p *parts) putWebhook(w http.ResponseWriter, r *request) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	var body struct {
		URL    string `json:"url"`
		Secret string `json:"secret"`
	}
	if err := session.ReadJSON(w, r.Request, &body); err != nil {
		return err
	}
	put, err := p.cart.PutWebhook(r.Context(), shopID, cart.Webhook{ID: r.PathValue("webhook"), URL: body.URL, Secret: body.Secret})
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, put)
}

// readWebhook answers with a webhook of the shop, without its secret.
func (p *parts) readWebhook(w http.ResponseWriter, r *request) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	h, err := p.cart.Webhook(r.Context(), shopID, r.PathValue("webhook"))
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, h)
}

// deleteWebhook ends a webhook of the shop.
func (p *parts) deleteWebhook(w http.ResponseWriter, r *request) error {
	shopID := r.PathValue("shop")
	if err := ofShop(r.viewer, shopID); err != nil {
		return err
	}
	if err := p.cart.DeleteWebhook(r.Context(), shopID, r.PathValue("webhook")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
