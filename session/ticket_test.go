package session

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
)

func write(t *testing.T, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pemFile(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func publicFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	return pemFile(t, "PUBLIC KEY", der, err)
}

func privateFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemFile(t, "PRIVATE KEY", der, err)
}

func tickets(t *testing.T, cfg TicketConfig) *Tickets {
	t.Helper()
	ts, err := NewTickets(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// hs256 signs any header and payload, however wrong.
func hs256(secret []byte, header, payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

const hsHeader = `{"alg":"HS256","typ":"JWT"}`

// claimsJSON is a payload that is valid but for what more says; later keys win.
func claimsJSON(more string) string {
	payload := fmt.Sprintf(`{"sub":"ann","exp":%d`, time.Now().Add(time.Hour).Unix())
	if more != "" {
		payload += "," + more
	}
	return payload + "}"
}

func TestTokensRoundTripWithEveryKindOfKey(t *testing.T) {
	rsaKey, ecKey, edKey := rsaKey(t, 2048), ecKey(t, elliptic.P256()), edKey(t)
	secret := write(t, append(slices.Clone(testSecret), '\n'))
	for _, test := range []struct{ name, signs, verifies string }{
		{"secret", secret, secret},
		{"rsa", privateFile(t, rsaKey), publicFile(t, rsaKey)},
		{"rsa pkcs1", pemFile(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), pemFile(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil)},
		{"ec", privateFile(t, ecKey), publicFile(t, ecKey)},
		{"ed25519", privateFile(t, edKey), publicFile(t, edKey)},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := LoadSigningKey(test.signs)
			if err != nil {
				t.Fatal(err)
			}
			end := time.Now().Add(time.Hour).Truncate(time.Second)
			token, err := MintToken(key, Claims{
				Subject: "李/1", Name: "Ann 🛒", Role: "moderator", Rooms: RoomList{"demo", "other"}, Shop: "s1", Source: "ad", Guide: "g7",
			}.Until(end))
			if err != nil {
				t.Fatal(err)
			}
			v, err := tickets(t, TicketConfig{KeyFile: test.verifies}).Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if v.ID != "李/1" || v.Name != "Ann 🛒" || v.Role != proto.Role_ROLE_MODERATOR || v.Shop != "s1" || v.Source != "ad" ||
				v.Guide != "g7" || !v.ExpiresAt.Equal(end) || v.Anonymous || !slices.Equal(v.Rooms, []string{"demo", "other"}) {
				t.Errorf("viewer is %+v", v)
			}
			if !v.MayEnter("demo") || v.MayEnter("third") {
				t.Error("the token opens other rooms than it says")
			}
		})
	}
}

func TestForgedTokens(t *testing.T) {
	rsaKey := rsaKey(t, 2048)
	rsaFile, secretFile := publicFile(t, rsaKey), write(t, testSecret)
	published, err := os.ReadFile(rsaFile)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any) string {
		token, err := jwt.NewWithClaims(method, jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(jwt.SigningMethodHS256, testSecret)
	parts := strings.Split(good, ".")
	for _, test := range []struct{ name, file, token string }{
		{"alg none", secretFile, sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)},
		{"alg none in capitals", secretFile, hs256(testSecret, `{"alg":"NONE"}`, claimsJSON(""))},
		{"rsa file used as hmac secret", rsaFile, sign(jwt.SigningMethodHS256, published)},
		{"rsa file without last newline as hmac secret", rsaFile, sign(jwt.SigningMethodHS256, published[:len(published)-1])},
		{"rsa key in der as hmac secret", rsaFile, sign(jwt.SigningMethodHS256, x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))},
		{"stronger hash than pinned", secretFile, sign(jwt.SigningMethodHS512, testSecret)},
		{"other rsa scheme than pinned", rsaFile, sign(jwt.SigningMethodPS256, rsaKey)},
		{"other kind of key", secretFile, sign(jwt.SigningMethodRS256, rsaKey)},
		{"other secret", secretFile, sign(jwt.SigningMethodHS256, []byte("another secret of thirty-two bytes"))},
		{"no signature", secretFile, parts[0] + "." + parts[1] + "."},
		{"claims changed", secretFile, parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(claimsJSON(`"role":"host"`))) + "." + parts[2]},
		{"two segments", secretFile, parts[0] + "." + parts[1]},
		{"four segments", secretFile, good + ".x"},
		{"not base64", secretFile, "!." + parts[1] + "." + parts[2]},
		{"no json", secretFile, hs256(testSecret, hsHeader, "hello")},
		{"empty", secretFile, ""},
		{"too long", secretFile, hs256(testSecret, hsHeader, claimsJSON(`"x":"`+strings.Repeat("x", maxToken)+`"`))},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := tickets(t, TicketConfig{KeyFile: test.file}).Verify(t.Context(), test.token)
			if !errors.Is(err, ErrSignInRequired) {
				t.Fatalf("got %+v, %v", v, err)
			}
			if test.token != "" && strings.Contains(err.Error(), test.token) {
				t.Error("the refusal quotes the token")
			}
		})
	}
}

func TestClaimsAtTheirEdges(t *testing.T) {
	ts := tickets(t, TicketConfig{KeyFile: write(t, testSecret)})
	ok := func(t *testing.T, v Viewer, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	refused := func(t *testing.T, v Viewer, err error) {
		t.Helper()
		if !errors.Is(err, ErrSignInRequired) {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	expired := func(t *testing.T, v Viewer, err error) {
		t.Helper()
		if !errors.Is(err, ErrTokenExpired) {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, test := range []struct {
		name, payload string
		check         func(*testing.T, Viewer, error)
	}{
		{"plain", claimsJSON(""), ok},
		{"expired within the leeway", fmt.Sprintf(`{"sub":"ann","exp":%d}`, at(-2*time.Second)), ok},
		{"expired", fmt.Sprintf(`{"sub":"ann","exp":%d}`, at(-7*time.Second)), expired},
		{"without exp", `{"sub":"ann"}`, refused},
		{"exp is a word", `{"sub":"ann","exp":"tomorrow"}`, refused},
		{"not valid yet", claimsJSON(fmt.Sprintf(`"nbf":%d`, at(time.Minute))), refused},
		{"just valid", claimsJSON(fmt.Sprintf(`"nbf":%d`, at(2*time.Second))), ok},
		{"without sub", `{"exp":99999999999}`, refused},
		{"empty sub", claimsJSON(`"sub":""`), refused},
		{"sub of 128 bytes", claimsJSON(`"sub":"` + strings.Repeat("ä", 64) + `"`), ok},
		{"sub of 129 bytes", claimsJSON(`"sub":"` + strings.Repeat("a", 129) + `"`), refused},
		{"sub of bad utf-8", claimsJSON("\"sub\":\"a\xff\""), refused},
		{"sub with half a surrogate pair", claimsJSON(`"sub":"a\ud800"`), refused},
		{"sub with nul", claimsJSON(`"sub":"a\u0000"`), refused},
		{"sub with newline and braces", claimsJSON(`"sub":"a\n{}.*>"`), ok},
		{"sub of an anonymous viewer", claimsJSON(`"sub":"anon:x"`), refused},
		{"sub is a number", claimsJSON(`"sub":7`), refused},
		{"name of 64", claimsJSON(`"name":"` + strings.Repeat("字", 64) + `"`), ok},
		{"name of 65", claimsJSON(`"name":"` + strings.Repeat("字", 65) + `"`), refused},
		{"name with newline", claimsJSON(`"name":"a\nb"`), refused},
		{"unknown role", claimsJSON(`"role":"admin"`), refused},
		{"room with a dot", claimsJSON(`"rooms":["a.b"]`), refused},
		{"rooms is a number", claimsJSON(`"rooms":7`), refused},
		{"too many rooms", claimsJSON(`"rooms":["r"` + strings.Repeat(`,"r"`, MaxRooms) + `]`), refused},
		{"long source", claimsJSON(`"source":"` + strings.Repeat("s", 129) + `"`), refused},
		{"default role, name and rooms", claimsJSON(""), func(t *testing.T, v Viewer, err error) {
			if err != nil || v.Role != proto.Role_ROLE_VIEWER || v.Name != "ann" || v.MayEnter("demo") {
				t.Errorf("got %+v, %v", v, err)
			}
		}},
		{"every room", claimsJSON(`"rooms":"*","role":"operator"`), func(t *testing.T, v Viewer, err error) {
			if err != nil || !v.MayEnter("demo") || v.Role != proto.Role_ROLE_OPERATOR {
				t.Errorf("got %+v, %v", v, err)
			}
		}},
		{"every room in a list", claimsJSON(`"rooms":["*"]`), func(t *testing.T, v Viewer, err error) {
			if err != nil || !v.MayEnter("demo") {
				t.Errorf("got %+v, %v", v, err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := ts.Verify(t.Context(), hs256(testSecret, hsHeader, test.payload))
			test.check(t, v, err)
		})
	}
}

func TestIssuerAndAudience(t *testing.T) {
	ts := tickets(t, TicketConfig{KeyFile: write(t, testSecret), Issuer: "shop", Audience: "livecart"})
	for _, test := range []struct {
		name, claims string
		ok           bool
	}{
		{"both", `"iss":"shop","aud":["x","livecart"]`, true},
		{"other issuer", `"iss":"other","aud":"livecart"`, false},
		{"other audience", `"iss":"shop","aud":"x"`, false},
		{"none", `"x":1`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := ts.Verify(t.Context(), hs256(testSecret, hsHeader, claimsJSON(test.claims))); (err == nil) != test.ok {
				t.Error(err)
			}
		})
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	rsaKey := rsaKey(t, 2048)
	for _, test := range []struct{ name, file, says string }{
		{"missing", filepath.Join(t.TempDir(), "none"), "no such file"},
		{"short secret", write(t, testSecret[:31]), "too short"},
		{"broken pem", write(t, []byte("-----BEGIN PUBLIC KEY-----\nxxxx\n-----END PUBLIC")), "broken PEM"},
		{"broken key", pemFile(t, "PUBLIC KEY", []byte("xx"), nil), "key file"},
		{"private key", privateFile(t, rsaKey), "private key"},
		{"weak rsa", pemFile(t, "RSA PUBLIC KEY", weakRSA(), nil), "too weak"},
		{"other curve", publicFile(t, ecKey(t, elliptic.P384())), "P-256"},
		{"other block", pemFile(t, "X509 CRL", []byte("xx"), nil), "no public key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := NewTickets(TicketConfig{KeyFile: test.file}); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want something with %q", err, test.says)
			}
		})
	}
	if _, err := NewTickets(TicketConfig{}); err == nil {
		t.Error("tokens without any key were accepted")
	}
	if _, err := LoadSigningKey(publicFile(t, rsaKey)); err == nil {
		t.Error("a public key signs")
	}
	if _, err := MintToken(SigningKey{}, Claims{Subject: "ann"}.Until(time.Now())); err == nil {
		t.Error("no key signs")
	}
}

// weakRSA is a public key of 1024 bits in DER.
func weakRSA() []byte {
	n := make([]byte, 128)
	for i := range n {
		n[i] = 0xff
	}
	der := []byte{0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00}
	der = append(der, n...)
	return append(der, 0x02, 0x03, 0x01, 0x00, 0x01)
}

func TestFromRequest(t *testing.T) {
	ts := tickets(t, TicketConfig{KeyFile: write(t, testSecret)})
	good := hs256(testSecret, hsHeader, claimsJSON(""))
	for _, test := range []struct {
		name, query, header, id string
		refused                 proto.Reason
	}{
		{"bearer", "", "Bearer " + good, "ann", ""},
		{"bearer in lower case", "", "bearer " + good, "ann", ""},
		{"query", "access_token=" + good, "", "ann", ""},
		{"header before query", "access_token=broken", "Bearer " + good, "ann", ""},
		{"broken query token", "access_token=broken", "", "", proto.ReasonSignInRequired},
		{"basic", "", "Basic eDp5", "", proto.ReasonSignInRequired},
		{"empty bearer", "", "Bearer ", "", proto.ReasonSignInRequired},
		{"anonymous", "viewer_id=device-7", "", "anon:device-7", ""},
		{"bad viewer id", "viewer_id=a.b", "", "", proto.ReasonInvalidArgument},
		{"long viewer id", "viewer_id=" + strings.Repeat("x", 65), "", "", proto.ReasonInvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/rooms/demo/ws?"+test.query, nil)
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			v, err := ts.FromRequest(r)
			if reason := reasonOf(err); reason != test.refused || v.ID != test.id || v.Anonymous != strings.HasPrefix(test.id, "anon:") {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
	one, _ := ts.FromRequest(httptest.NewRequest(http.MethodGet, "/", nil))
	other, _ := ts.FromRequest(httptest.NewRequest(http.MethodGet, "/", nil))
	if !one.Anonymous || one.ID == other.ID || len(one.ID) <= len(AnonymousPrefix) {
		t.Errorf("two anonymous viewers are %q and %q", one.ID, other.ID)
	}
}

// reasonOf returns a refusal's reason, "" for no error.
func reasonOf(err error) proto.Reason {
	if err == nil {
		return ""
	}
	return proto.Reason(proto.Wire(err).Reason)
}

func TestSafeURLHidesTheToken(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"no query", "/v1/rooms/demo", "/v1/rooms/demo"},
		{"token alone", "/ws?access_token=s3cret", "/ws"},
		{"token among others", "/ws?after_seq=7&access_token=s3cret", "/ws?after_seq=7"},
		{"twice", "/ws?access_token=s3cret&access_token=s3cret", "/ws"},
		{"escaped name", "/ws?access%5Ftoken=s3cret", "/ws"},
		{"broken query", "/ws?a;access_token=s3cret", "/ws"},
		{"user part", "http://ann:s3cret@host/ws?a=1", "/ws?a=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := url.Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := SafeURL(u); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEnter(t *testing.T) {
	for _, test := range []struct {
		name      string
		viewer    Viewer
		anonymous bool
		want      error
	}{
		{"anonymous where allowed", Viewer{Anonymous: true}, true, nil},
		{"anonymous where not", Viewer{Anonymous: true}, false, ErrSignInRequired},
		{"token of the room", Viewer{Rooms: []string{"demo"}}, false, nil},
		{"token of another room", Viewer{Rooms: []string{"other"}}, true, ErrForbidden},
		{"token of every room", Viewer{Rooms: []string{"*"}}, false, nil},
		{"host of the shop", Viewer{Rooms: []string{"*"}, Role: proto.Role_ROLE_HOST, Shop: "tea"}, false, nil},
		{"host of another shop", Viewer{Rooms: []string{"*"}, Role: proto.Role_ROLE_HOST, Shop: "silk"}, false, ErrOtherShop},
		{"host of another shop that lists the room", Viewer{Rooms: []string{"demo"}, Role: proto.Role_ROLE_HOST, Shop: "silk"}, false, ErrOtherShop},
		{"host of no named shop", Viewer{Rooms: []string{"demo"}, Role: proto.Role_ROLE_HOST}, false, nil},
		{"viewer with a shop", Viewer{Rooms: []string{"demo"}, Role: proto.Role_ROLE_VIEWER, Shop: "silk"}, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := Enter(test.viewer, &proto.Room{Id: "demo", ShopId: "tea", Anonymous: test.anonymous}); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
