package session

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		name     string
		patterns []string
		origin   string
		allowed  bool
	}{
		{"none", nil, "", true},
		{"own", nil, "https://live.example", true},
		{"own in capitals", nil, "https://LIVE.example", true},
		{"own on another port", nil, "https://live.example:8443", false},
		{"other", nil, "https://shop.example", false},
		{"null", nil, "null", false},
		{"listed", []string{"https://shop.example"}, "https://shop.example", true},
		{"listed, other scheme", []string{"https://shop.example"}, "http://shop.example", false},
		{"listed without scheme", []string{"shop.example"}, "http://shop.example", true},
		{"listed, other port", []string{"https://shop.example"}, "https://shop.example:444", false},
		{"listed with port", []string{" https://shop.example:444 "}, "https://shop.example:444", true},
		{"longer name", []string{"https://shop.example"}, "https://shop.example.evil.example", false},
		{"under", []string{"https://*.shop.example"}, "https://m.shop.example", true},
		{"far under", []string{"*.shop.example"}, "https://a.b.shop.example", true},
		{"under, itself", []string{"*.shop.example"}, "https://shop.example", false},
		{"under, glued", []string{"*.shop.example"}, "https://evilshop.example", false},
		{"every", []string{"*"}, "https://evil.example", true},
		{"second pattern", []string{"a.example", "b.example"}, "https://b.example", true},
		{"broken", []string{"a.example"}, "https://%zz", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := ParseOrigins(test.patterns)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "http://live.example/v1/rooms/demo/ws", nil)
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			if o.Allowed(r) != test.allowed {
				t.Errorf("allowed is %v", !test.allowed)
			}
		})
	}
	for _, bad := range []string{"", "https://", "a*.example", "https://shop.example/path", "*.", "*.*.example"} {
		if _, err := ParseOrigins([]string{bad}); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
}
