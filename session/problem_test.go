package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"livecart/proto"
)

func TestWriteProblem(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		header http.Header
		body   string
		logged bool
	}{
		{
			"refusal", proto.Refuse(proto.ReasonSoldOut, "nothing is left"), 409, nil,
			`{"type":"about:blank","title":"Conflict","status":409,"detail":"nothing is left","reason":"sold_out"}`, false,
		},
		{
			"wait", proto.Refuse(proto.ReasonRateLimited, "too fast").After(1500 * time.Millisecond), 429, http.Header{"Retry-After": {"2"}},
			`{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"too fast","reason":"rate_limited","retry_after_ms":1500}`, false,
		},
		{"sign in", ErrSignInRequired, 401, http.Header{"Www-Authenticate": {"Bearer"}}, "", false},
		{
			"postgres away", fmt.Errorf("read room: %w", &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}), 503, http.Header{"Retry-After": {"1"}},
			`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no answer in time; ask again with the same request_id","reason":"try_again","retry_after_ms":1000}`, true,
		},
		{
			"unknown", errors.New("password is hunter2"), 500, nil,
			`{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"something went wrong on our side","reason":"internal"}`, true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/v1/topups?access_token=s3cret&x=1", nil)
			WriteProblem(w, r, slog.New(slog.NewTextHandler(&log, nil)), test.err)
			if w.Code != test.status || w.Header().Get("Content-Type") != "application/problem+json" || test.body != "" && w.Body.String() != test.body {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			for name, want := range test.header {
				if got := w.Header().Get(name); got != want[0] {
					t.Errorf("%s is %q", name, got)
				}
			}
			if (log.Len() > 0) != test.logged || strings.Contains(log.String(), "s3cret") {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

func TestMessagesAsJSON(t *testing.T) {
	w := httptest.NewRecorder()
	if err := WriteMessage(w, http.StatusCreated, &proto.Room{Id: "demo", StartedAtMs: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); w.Code != 201 || got != `{"id":"demo","started_at_ms":"1152921504606846976"}` {
		t.Errorf("answered %d %s", w.Code, got)
	}
	w = httptest.NewRecorder()
	if err := WriteJSON(w, http.StatusOK, map[string]int{"a": 1}); err != nil || w.Body.String() != `{"a":1}` {
		t.Errorf("answered %s, %v", w.Body, err)
	}
	if err := WriteJSON(httptest.NewRecorder(), http.StatusOK, func() {}); err == nil {
		t.Error("a function has JSON")
	}
}

func TestETags(t *testing.T) {
	get := func(room *proto.Room, ifNoneMatch string) *httptest.ResponseRecorder {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		if ifNoneMatch != "" {
			r.Header.Set("If-None-Match", ifNoneMatch)
		}
		if err := WriteCached(w, r, room); err != nil {
			t.Fatal(err)
		}
		return w
	}
	one, other := &proto.Room{Id: "one"}, &proto.Room{Id: "other"}
	first := get(one, "")
	tag := first.Header().Get("ETag")
	if first.Code != 200 || !strings.HasPrefix(tag, `"`) || first.Body.Len() == 0 {
		t.Fatalf("first: %d %q %s", first.Code, tag, first.Body)
	}
	for _, test := range []struct {
		name, header string
		room         *proto.Room
		status       int
	}{
		{"same", tag, one, 304},
		{"weak", "W/" + tag, one, 304},
		{"among others", `"x", ` + tag, one, 304},
		{"any", "*", one, 304},
		{"changed", tag, other, 200},
		{"without quotes", strings.Trim(tag, `"`), one, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := get(test.room, test.header)
			if w.Code != test.status || (w.Body.Len() == 0) != (test.status == 304) || w.Header().Get("ETag") == "" {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	full := `{"text":"` + strings.Repeat("x", MaxBody-11) + `"}`
	for _, test := range []struct {
		name, kind, body string
		refused          proto.Reason
	}{
		{"plain", "application/json", `{"text":"hi"}`, ""},
		{"with charset", "application/json; charset=utf-8", `{"text":"hi"}`, ""},
		{"as curl sends it", "application/x-www-form-urlencoded", `{"text":"hi"}`, ""},
		{"no type", "", `{"text":"hi"}`, ""},
		{"unknown field", "application/json", `{"text":"hi","more":{"a":1}}`, ""},
		{"at the limit", "application/json", full, ""},
		{"above the limit", "application/json", full + " ", proto.ReasonMalformedFrame},
		{"other type", "text/xml", `{"text":"hi"}`, proto.ReasonMalformedFrame},
		{"broken type", ";;", `{"text":"hi"}`, proto.ReasonMalformedFrame},
		{"empty", "application/json", "", proto.ReasonMalformedFrame},
		{"blank", "application/json", " \n", proto.ReasonMalformedFrame},
		{"broken", "application/json", `{"text":`, proto.ReasonMalformedFrame},
		{"wrong kind", "application/json", `{"text":7}`, proto.ReasonMalformedFrame},
		{"two values", "application/json", `{"text":"a"}{"text":"b"}`, proto.ReasonMalformedFrame},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := func() (*httptest.ResponseRecorder, *http.Request) {
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body))
				if test.kind != "" {
					r.Header.Set("Content-Type", test.kind)
				}
				return httptest.NewRecorder(), r
			}
			var value struct{ Text string }
			w, r := request()
			if err := ReadJSON(w, r, &value); reasonOf(err) != test.refused {
				t.Errorf("value: %v", err)
			}
			message := new(proto.ChatSend)
			w, r = request()
			if err := ReadMessage(w, r, message); reasonOf(err) != test.refused {
				t.Errorf("message: %v", err)
			}
			if test.refused == "" && (value.Text == "" || value.Text != message.Text) {
				t.Errorf("read %q and %q", value.Text, message.Text)
			}
		})
	}
}

func TestProblemsAreJSON(t *testing.T) {
	w := httptest.NewRecorder()
	WriteProblem(w, httptest.NewRequest(http.MethodGet, "/", nil), slog.New(slog.DiscardHandler), proto.Refuse(proto.ReasonNotFound, "no \"such\"\n<thing>"))
	var got problemDetails
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Detail != "no \"such\"\n<thing>" {
		t.Errorf("%s: %v", w.Body, err)
	}
}
