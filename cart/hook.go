package cart

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// MaxWebhooks is how many webhooks a shop has.
	MaxWebhooks = 10
	// maxWebhookURL is the most bytes of a webhook's address.
	maxWebhookURL = 2000
)

// Webhook is an address of a shop that is told of every move of its orders; see the package's doc.
type Webhook struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Secret signs what is sent there, see ParseWebhookSecret; it is never shown.
	Secret      string `json:"secret,omitempty"`
	CreatedAtMs int64  `json:"created_at_ms"`
	// Disabled says that the address answered 410: nothing is sent there until it is put again.
	Disabled bool `json:"disabled"`
}

// PutWebhook makes a webhook of a shop or gives it another address or secret, and turns one on again
// that was disabled. What happens from then on is sent there. Refusals: ErrShopNotFound, and
// invalid_argument for an address that is no https one at a public place (see
// Config.WebhookAllowPrivate), a secret that is none, or an eleventh webhook.
func (c *Cart) PutWebhook(ctx context.Context, shopID string, h Webhook) (Webhook, error) {
	if err := checkID("id", h.ID); err != nil {
		return h, err
	}
	if err := checkWebhookURL(h.URL, c.cfg.WebhookAllowPrivate); err != nil {
		return h, err
	}
	if _, err := ParseWebhookSecret(h.Secret); err != nil {
		return h, invalid("%v", err)
	}
	err := pgx.BeginFunc(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		// Two that put their tenth at once wait for one another here.
		tag, err := tx.Exec(ctx, `SELECT FROM shop WHERE id = $1 FOR NO KEY UPDATE`, shopID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrShopNotFound
		}
		var others int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM webhook WHERE shop_id = $1 AND id <> $2`, shopID, h.ID).Scan(&others); err != nil {
			return err
		}
		if others >= MaxWebhooks {
			return invalid("a shop has at most %d webhooks", MaxWebhooks)
		}
		var made time.Time
		err = tx.QueryRow(ctx, `
			INSERT INTO webhook (shop_id, id, url, secret) VALUES ($1, $2, $3, $4)
			ON CONFLICT (shop_id, id) DO UPDATE SET url = excluded.url, secret = excluded.secret, disabled_at = NULL,
				since = CASE WHEN webhook.disabled_at IS NULL THEN webhook.since ELSE clock_timestamp() END
			RETURNING created_at`, shopID, h.ID, h.URL, h.Secret).Scan(&made)
		h.CreatedAtMs = made.UnixMilli()
		return err
	})
	if err != nil {
		return h, wrap(err, "put webhook %s of shop %s", h.ID, shopID)
	}
	h.Secret, h.Disabled = "", false
	return h, nil
}

// Webhook returns a shop's webhook without its secret, or ErrWebhookNotFound.
func (c *Cart) Webhook(ctx context.Context, shopID, id string) (Webhook, error) {
	h := Webhook{ID: id}
	var made time.Time
	err := c.cfg.Pool.QueryRow(ctx, `SELECT url, created_at, disabled_at IS NOT NULL FROM webhook WHERE shop_id = $1 AND id = $2`, shopID, id).
		Scan(&h.URL, &made, &h.Disabled)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, ErrWebhookNotFound
	}
	if err != nil {
		return h, fmt.Errorf("read webhook %s of shop %s: %w", id, shopID, err)
	}
	h.CreatedAtMs = made.UnixMilli()
	return h, nil
}

// DeleteWebhook ends a webhook; what was still to be sent there is not. One that is not there is no
// error.
func (c *Cart) DeleteWebhook(ctx context.Context, shopID, id string) error {
	// The worker gives up what is left.
	if _, err := c.cfg.Pool.Exec(ctx, `DELETE FROM webhook WHERE shop_id = $1 AND id = $2`, shopID, id); err != nil {
		return fmt.Errorf("delete webhook %s of shop %s: %w", id, shopID, err)
	}
	return nil
}

// checkWebhookURL refuses addresses that nothing may be sent to. What a name stands for is checked when
// it is dialled.
func checkWebhookURL(address string, allowPrivate bool) error {
	if err := checkText("url", address, 1, maxWebhookURL); err != nil {
		return err
	}
	u, err := url.Parse(address)
	switch {
	case len(address) > maxWebhookURL:
		return invalid("url has at most %d bytes", maxWebhookURL)
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return invalid("url is an address like https://shop.example/hooks, without user and fragment")
	case u.Scheme != "https" && !(allowPrivate && u.Scheme == "http"):
		return invalid("url begins with https://")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !publicAddress(ip) {
		return invalid("url is at a private address")
	}
	return nil
}
