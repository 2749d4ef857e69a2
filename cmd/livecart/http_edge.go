package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"livecart/proto"
	"livecart/session"
)

// strict answers what the API does not know with Problem Details, where http.ServeMux would answer in
// plain text.
func strict(mux *http.ServeMux, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		var unheard unheardAnswer
		refuse.ServeHTTP(&unheard, r)
		if unheard.status != http.StatusMethodNotAllowed {
			session.WriteProblem(w, r, log, proto.Refuse(proto.ReasonNotFound, "there is nothing at this address"))
			return
		}
		w.Header().Set("Allow", unheard.Header().Get("Allow"))
		writeMethodNotAllowed(w)
	})
}

// writeMethodNotAllowed answers 405, the one status here that no reason stands for.
func writeMethodNotAllowed(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMethodNotAllowed)
	// A client that has left is no error of ours.
	_, _ = io.WriteString(w, `{"type":"about:blank","title":"Method Not Allowed","status":405,`+
		`"detail":"this address takes other methods","reason":"`+string(proto.ReasonInvalidArgument)+`"}`)
}

// unheardAnswer takes an answer that nobody gets, for its status and header.
type unheardAnswer struct {
	status int
	header http.Header
}

func (a *unheardAnswer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *unheardAnswer) WriteHeader(status int)      { a.status = status }
func (a *unheardAnswer) Write(b []byte) (int, error) { return len(b), nil }

// forPages lets pages of allowed origins use the API, and refuses those of others.
func (p *parts) forPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		if !p.origins.Allowed(r) {
			session.WriteProblem(w, r, p.log, proto.Refuse(proto.ReasonForbidden, "pages of this origin may not use this API"))
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "ETag, Location, Retry-After")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, "+idempotencyKey)
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noted logs requests at debug level, without their tokens.
func (p *parts) noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.log.Enabled(r.Context(), slog.LevelDebug) {
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		answer := &answerStatus{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		p.log.Debug("served", "method", r.Method, "url", session.SafeURL(r.URL), "status", answer.status, "took", time.Since(start))
	})
}

// answerStatus remembers the status of an answer.
type answerStatus struct {
	http.ResponseWriter
	status int
}

func (a *answerStatus) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Hijack serves WebSocket upgrades.
func (a *answerStatus) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(a.ResponseWriter).Hijack()
}
