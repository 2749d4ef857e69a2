package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"livecart/proto"
)

// MaxBody is the most bytes of an HTTP request's body that ReadJSON and ReadMessage take.
const MaxBody = 64 << 10

// problemDetails is RFC 9457 with our reason and, where waiting helps, how long.
type problemDetails struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail,omitempty"`
	Reason       string `json:"reason"`
	RetryAfterMs int64  `json:"retry_after_ms,omitempty"`
}

// WriteProblem answers a request with Problem Details. What is not a proto.Problem is logged here,
// once, and reaches the client as "internal", or "try_again" where a server of ours is away. Writing may fail because the client left, which is
// nobody's concern.
func WriteProblem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	var p *proto.Problem
	if !errors.As(err, &p) && r.Context().Err() == nil {
		log.Error("request failed", "method", r.Method, "url", SafeURL(r.URL), "err", err)
	}
	wire := proto.Wire(told(err))
	if wire.RetryAfterMs > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt((wire.RetryAfterMs+999)/1000, 10))
	}
	if wire.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = writeJSON(w, int(wire.Code), "application/problem+json", problemDetails{
		Type:         "about:blank",
		Title:        http.StatusText(int(wire.Code)),
		Status:       int(wire.Code),
		Detail:       wire.Message,
		Reason:       wire.Reason,
		RetryAfterMs: wire.RetryAfterMs,
	})
}

// WriteJSON answers with a Go value. Its error says that the value has no JSON or that the client
// left; nothing more can be answered.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	return writeJSON(w, status, "application/json", v)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeBody(w, status, contentType, body)
}

// WriteMessage answers with a wire message in the JSON of livecart.v1.json: schema names, 64-bit
// integers as strings.
func WriteMessage(w http.ResponseWriter, status int, m proto.Message) error {
	body, err := proto.Encode(proto.JSON, m)
	if err != nil {
		return err
	}
	return writeBody(w, status, "application/json", body)
}

// WriteCached answers a GET with a wire message under a strong ETag, or with 304 where the client
// has it. Browsers keep it and ask each time.
func WriteCached(w http.ResponseWriter, r *http.Request, m proto.Message) error {
	body, err := proto.Encode(proto.JSON, m)
	if err != nil {
		return err
	}
	return WriteCachedBody(w, r, "application/json", ETag(body), body)
}

// WriteCachedBody is WriteCached for a body whose ETag is known.
func WriteCachedBody(w http.ResponseWriter, r *http.Request, contentType, etag string, body []byte) error {
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	if clientHas(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeBody(w, http.StatusOK, contentType, body)
}

// ETag returns the strong ETag of a body, quotes included.
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}

// clientHas reads If-None-Match, which compares weakly.
func clientHas(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// ReadJSON reads a request's body into a Go value. Unknown fields are ignored; its errors are
// Problems.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return proto.Refuse(proto.ReasonMalformedFrame, "the body is not the expected JSON: %v", err)
	}
	return nil
}

// ReadMessage reads a request's body into a wire message. Unknown fields are ignored, both
// spellings of names accepted; its errors are Problems.
func ReadMessage(w http.ResponseWriter, r *http.Request, m proto.Message) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := proto.Decode(proto.JSON, body, m); err != nil {
		return proto.Refuse(proto.ReasonMalformedFrame, "the body is not the expected JSON: %v", err)
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if header := r.Header.Get("Content-Type"); header != "" {
		kind, _, err := mime.ParseMediaType(header)
		// curl sends form data unless told otherwise; what is in it is decided by reading it.
		if err != nil || kind != "application/json" && kind != "application/x-www-form-urlencoded" {
			return nil, proto.Refuse(proto.ReasonMalformedFrame, "the body must be application/json")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, proto.Refuse(proto.ReasonMalformedFrame, "the body is larger than %d bytes", MaxBody)
	case err != nil:
		return nil, proto.Refuse(proto.ReasonMalformedFrame, "the body could not be read")
	case len(bytes.TrimSpace(body)) == 0:
		return nil, proto.Refuse(proto.ReasonMalformedFrame, "a JSON body is required")
	}
	return body, nil
}
