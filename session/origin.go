package session

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Origins says from which pages a browser may connect. The zero value allows the server's own
// pages alone.
type Origins struct {
	any      bool
	patterns []originPattern
}

type originPattern struct {
	scheme string // "" for any
	host   string // with port where the origin has one
	suffix bool   // host and everything under it: "*.shop.example" is ".shop.example"
}

// ParseOrigins reads patterns: "https://shop.example", "https://*.shop.example" (every name under
// it, not itself), "shop.example:8443" with any scheme, or "*" for every page. The server's own
// origin is always allowed.
func ParseOrigins(patterns []string) (Origins, error) {
	var o Origins
	for _, text := range patterns {
		text = strings.TrimSpace(text)
		if text == "*" {
			o.any = true
			continue
		}
		p := originPattern{host: strings.ToLower(text)}
		if scheme, host, ok := strings.Cut(p.host, "://"); ok {
			p.scheme, p.host = scheme, host
		}
		if rest, ok := strings.CutPrefix(p.host, "*."); ok {
			p.host, p.suffix = "."+rest, true
		}
		if strings.Trim(p.host, ".") == "" || strings.ContainsAny(p.host, "*/?#@ ") {
			return Origins{}, fmt.Errorf(`allowed origin %q: want "https://shop.example", "*.shop.example" or "*"`, text)
		}
		o.patterns = append(o.patterns, p)
	}
	return o, nil
}

// Allowed reports whether the request comes from an allowed page. A request without Origin comes
// from no page and is allowed: its token alone counts.
func (o Origins) Allowed(r *http.Request) bool {
	header := r.Header.Get("Origin")
	if header == "" || o.any {
		return true
	}
	origin, err := url.Parse(strings.ToLower(header))
	if err != nil || origin.Host == "" {
		return false // "null" among others: a sandboxed frame or a file
	}
	if strings.EqualFold(origin.Host, r.Host) {
		return true
	}
	for _, p := range o.patterns {
		if p.matches(origin) {
			return true
		}
	}
	return false
}

func (p originPattern) matches(origin *url.URL) bool {
	if p.scheme != "" && p.scheme != origin.Scheme {
		return false
	}
	if p.suffix {
		return strings.HasSuffix(origin.Host, p.host) && len(origin.Host) > len(p.host)
	}
	return origin.Host == p.host
}
