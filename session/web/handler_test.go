package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPages(t *testing.T) {
	h := Handler(Config{})
	for _, tc := range []struct {
		name, target string
		status       int
		holds        string
	}{
		{"viewer", "/rooms/demo", 200, `data-room="demo"`},
		{"viewer loads its module", "/rooms/demo", 200, `/viewer/main.js"></script>`},
		{"host", "/host/a_B-9", 200, `data-room="a_B-9"`},
		{"statement", "/host/demo/statement", 200, `/statement/main.js"></script>`},
		{"statement of no id", "/host/a%2Fb/statement", 404, "There is no page here"},
		{"longest id", "/rooms/" + strings.Repeat("x", 64), 200, `<div id="app">`},
		{"id too long", "/rooms/" + strings.Repeat("x", 65), 404, "There is no page here"},
		{"id that is markup", "/rooms/%22%3E%3Cscript%3E", 404, "There is no page here"},
		{"id with a slash", "/rooms/a%2Fb", 404, "There is no page here"},
		{"unknown path", "/nothing", 404, "There is no page here"},
		{"unknown file", "/static/nothing.js", 404, ""},
		{"file outside static", "/static/..%2fpage/viewer.html", 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := get(t, h, tc.target)
			text := body(t, resp)
			if resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tc.status)
			}
			if !strings.Contains(text, tc.holds) {
				t.Errorf("body lacks %q:\n%s", tc.holds, text)
			}
		})
	}
}

func TestIndexLeadsHome(t *testing.T) {
	for home, want := range map[string]string{"": "/rooms/demo", "shop1": "/rooms/shop1"} {
		resp := get(t, Handler(Config{Home: home}), "/")
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || got != want {
			t.Errorf("Home %q: %d to %q, want 302 to %q", home, resp.StatusCode, got, want)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	h := Handler(Config{})
	for _, target := range []string{"/", "/rooms/demo", "/host/demo", "/host/demo/statement", "/nothing", "/static/livecart.js", "/static/nothing", "/favicon.ico"} {
		t.Run(target, func(t *testing.T) {
			header := get(t, h, target).Header
			for name, want := range map[string]string{
				"Content-Security-Policy":    Policy,
				"X-Content-Type-Options":     "nosniff",
				"X-Frame-Options":            "DENY",
				"Referrer-Policy":            "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestPolicyForbidsInline(t *testing.T) {
	for _, forbidden := range []string{"unsafe-inline", "unsafe-eval", "script-src *", "default-src 'self'", "http://"} {
		if strings.Contains(Policy, forbidden) {
			t.Errorf("policy holds %q", forbidden)
		}
	}
	for _, required := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'", "connect-src 'self' ws: wss:"} {
		if !strings.Contains(Policy, required) {
			t.Errorf("policy lacks %q", required)
		}
	}
}

func TestMethods(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rooms/demo", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST answered %d, want 405", w.Code)
	}
	w = httptest.NewRecorder()
	Handler(Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/rooms/demo", nil))
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD answered %d with %d bytes, Content-Length %q", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestCaching(t *testing.T) {
	h := Handler(Config{})
	all, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	versioned := "/static/" + all.version + "/livecart.js"
	for _, tc := range []struct{ name, target, cache string }{
		{"page", "/rooms/demo", "no-cache"},
		{"this version", versioned, "public, max-age=31536000, immutable"},
		{"another version", "/static/v0123456789ab/livecart.js", "public, no-cache"},
		{"lasting name", "/static/livecart.js", "public, no-cache"},
		{"picture", "/static/demo/teapot.svg", "public, no-cache"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first := get(t, h, tc.target)
			if first.StatusCode != http.StatusOK {
				t.Fatalf("status %d", first.StatusCode)
			}
			if got := first.Header.Get("Cache-Control"); got != tc.cache {
				t.Errorf("Cache-Control %q, want %q", got, tc.cache)
			}
			etag := first.Header.Get("ETag")
			for _, held := range []string{etag, "W/" + etag, `"other", ` + etag} {
				again := get(t, h, tc.target, "If-None-Match", held)
				if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
					t.Errorf("If-None-Match %s: status %d", held, again.StatusCode)
				}
			}
			if other := get(t, h, tc.target, "If-None-Match", `"other"`); other.StatusCode != http.StatusOK {
				t.Errorf("a foreign ETag: status %d, want 200", other.StatusCode)
			}
		})
	}
}

func TestCompression(t *testing.T) {
	h := Handler(Config{})
	plain := get(t, h, "/static/livecart.js")
	want := body(t, plain)
	for _, accept := range []string{"gzip", "br, gzip;q=0.5", "GZIP"} {
		resp := get(t, h, "/static/livecart.js", "Accept-Encoding", accept)
		if got := resp.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Accept-Encoding %q: Content-Encoding %q", accept, got)
		}
		if resp.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Error("both codings have one ETag")
		}
		zr, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(zr)
		if err != nil || string(got) != want {
			t.Errorf("Accept-Encoding %q: the body differs from the plain one (%v)", accept, err)
		}
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "x-gzip"} {
		if got := get(t, h, "/static/livecart.js", "Accept-Encoding", accept).Header.Get("Content-Encoding"); got != "" {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want none", accept, got)
		}
	}
}

func TestContentTypes(t *testing.T) {
	h := Handler(Config{})
	for target, want := range map[string]string{
		"/static/livecart.js":           "text/javascript; charset=utf-8",
		"/static/ui/base.css":           "text/css; charset=utf-8",
		"/static/demo/lamp.svg":         "image/svg+xml",
		"/static/vendor/README.md":      "text/plain; charset=utf-8",
		"/static/vendor/LICENSE-preact": "text/plain; charset=utf-8",
		"/rooms/demo":                   "text/html; charset=utf-8",
	} {
		if got := get(t, h, target).Header.Get("Content-Type"); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
