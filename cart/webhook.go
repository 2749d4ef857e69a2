package cart

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// NoticeTolerance is how far a notice's time may be from ours, in either direction.
const NoticeTolerance = 5 * time.Minute

// secretPrefix begins a webhook secret, base64 follows.
const secretPrefix = "whsec_"

// noticeBody is a notice as it is sent.
type noticeBody struct {
	Type      string `json:"type"`
	PaymentID string `json:"payment_id"`
	Amount    *int64 `json:"amount"`
	Currency  string `json:"currency"`
	EventID   string `json:"event_id"`
	// TransactionID is the provider's id of the money that moved; see Notice.
	TransactionID string `json:"transaction_id,omitempty"`
	PaidAtMs      int64  `json:"paid_at_ms"`
}

// Body returns the notice as a provider sends it, to be signed with [Sign].
func (n Notice) Body() ([]byte, error) {
	return json.Marshal(noticeBody{
		Type: n.Kind, PaymentID: n.PaymentID, Amount: &n.Amount, Currency: n.Currency,
		EventID: n.EventID, TransactionID: n.TransactionID, PaidAtMs: n.PaidAt.UnixMilli(),
	})
}

// ParseWebhookSecret returns the key of a secret "whsec_<base64>" of at least 16 bytes.
func ParseWebhookSecret(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 16 {
		return nil, errors.New("a webhook secret is whsec_ and the base64 of at least 16 bytes")
	}
	return key, nil
}

// Sign sets the three Standard Webhooks headers for a body. id names what is sent and stays the same
// when it is sent again; at is the time of this sending.
func Sign(secret string, h http.Header, id string, at time.Time, body []byte) error {
	key, err := ParseWebhookSecret(secret)
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(signature(key, id, stamp, body)))
	return nil
}

func signature(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(id), []byte("."), []byte(stamp), []byte("."), body} {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// Verify checks the Standard Webhooks headers of a body. The signature header may hold several
// signatures, as while a secret is being changed; one must fit. Refusals: ErrNoticeForged,
// ErrNoticeStale, ErrNoticeInvalid. A secret that is none is another error.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	key, err := ParseWebhookSecret(secret)
	if err != nil {
		return err
	}
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	if id == "" || !anySignatureFits(h.Get("webhook-signature"), signature(key, id, stamp, body)) {
		return ErrNoticeForged
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return ErrNoticeInvalid
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > NoticeTolerance || age < -NoticeTolerance {
		return ErrNoticeStale
	}
	return nil
}

// VerifyNotice checks a notice's signature and time as [Verify] does and reads it; Provider is left
// empty.
func VerifyNotice(secret string, h http.Header, body []byte, now time.Time) (Notice, error) {
	if err := Verify(secret, h, body, now); err != nil {
		return Notice{}, err
	}
	var b noticeBody
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&b); err != nil || b.Amount == nil {
		return Notice{}, ErrNoticeInvalid
	}
	n := Notice{
		EventID: b.EventID, TransactionID: b.TransactionID, PaymentID: b.PaymentID, Kind: b.Type,
		Amount: *b.Amount, Currency: b.Currency, PaidAt: time.UnixMilli(b.PaidAtMs),
	}
	if n.check() != nil {
		return Notice{}, ErrNoticeInvalid
	}
	return n, nil
}

func anySignatureFits(header string, want []byte) bool {
	fits := false
	for sig := range strings.FieldsSeq(header) {
		text, ok := strings.CutPrefix(sig, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		fits = ok && err == nil && hmac.Equal(got, want) || fits
	}
	return fits
}
