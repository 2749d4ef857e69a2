package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

//go:embed page/*.html
var shells embed.FS

// Policy is the Content-Security-Policy of every answer. Pictures and video come from wherever a shop
// keeps them; code and styles from here alone.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https: http:; " +
	"media-src *; connect-src 'self' ws: wss:; font-src 'self'; manifest-src 'self'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'"

// roomIDs is what a room's id may be made of, as everywhere in livecart.
var roomIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Config of Handler.
type Config struct {
	// Home is the room that / leads to; "demo".
	Home string
}

// pages serves the HTML shells.
type pages struct {
	shells *template.Template
	base   string // "/static/<version>"
	home   string
}

// Handler serves the pages and their files. Mount it at /; it answers GET and HEAD only and is safe
// for concurrent use.
func Handler(cfg Config) http.Handler {
	if cfg.Home == "" {
		cfg.Home = "demo"
	}
	all, err := loadAssets()
	if err != nil {
		panic(err) // what is embedded was fixed when this was built
	}
	p := &pages{
		shells: template.Must(template.ParseFS(shells, "page/*.html")),
		base:   "/static/" + all.version,
		home:   cfg.Home,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) { p.room(w, r, "viewer.html") })
	mux.HandleFunc("GET /host/{room}", func(w http.ResponseWriter, r *http.Request) { p.room(w, r, "host.html") })
	mux.HandleFunc("GET /host/{room}/statement", func(w http.ResponseWriter, r *http.Request) { p.room(w, r, "statement.html") })
	mux.HandleFunc("GET /static/{path...}", all.serve)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/static/favicon.svg", http.StatusFound)
	})
	mux.HandleFunc("GET /", p.lost)
	return secure(mux)
}

// secure sets the headers that every answer of these pages carries.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

func (p *pages) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	http.Redirect(w, r, "/rooms/"+p.home, http.StatusFound)
}

func (p *pages) room(w http.ResponseWriter, r *http.Request, shell string) {
	roomID := r.PathValue("room")
	if !roomIDs.MatchString(roomID) {
		p.lost(w, r)
		return
	}
	p.render(w, r, http.StatusOK, shell, roomID)
}

func (p *pages) lost(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusNotFound, "lost.html", p.home)
}

func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, shell, roomID string) {
	var buf bytes.Buffer
	err := p.shells.ExecuteTemplate(&buf, shell, struct{ Base, Room string }{p.base, roomID})
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	if status != http.StatusOK {
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			// A viewer who has gone away is no error of ours.
			_, _ = w.Write(buf.Bytes())
		}
		return
	}
	digest := sha256.Sum256(buf.Bytes())
	write(w, r, `"`+hex.EncodeToString(digest[:12])+`"`, buf.Bytes())
}

// write answers with body, or with 304 where the asker holds these very bytes.
func write(w http.ResponseWriter, r *http.Request, etag string, body []byte) {
	w.Header().Set("ETag", etag)
	if holds(r.Header.Get("If-None-Match"), etag) {
		w.Header().Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// A viewer who has gone away is no error of ours.
	_, _ = w.Write(body)
}

// holds reports whether an If-None-Match header names etag. Proxies that compress weaken ours, so
// the comparison is the weak one.
func holds(header, etag string) bool {
	for _, have := range strings.Split(header, ",") {
		have = strings.TrimPrefix(strings.TrimSpace(have), "W/")
		if have == etag || have == "*" {
			return true
		}
	}
	return false
}
