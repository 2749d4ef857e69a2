package loadtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

const testKey = "0123456789abcdef0123456789abcdef"

// file writes a file of the test's own.
func file(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyFile(t testing.TB, key string) string { return file(t, key+"\n") }

// fails holds that err is one line with want in it.
func fails(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %v, want one line with %q", err, want)
	}
}

func TestReadTarget(t *testing.T) {
	got, err := ReadTarget(file(t, `{"gateways": [{"url": "http://127.0.0.1:1", "ws": "x"}, {"url": "http://127.0.0.1:2"}],
		"room": "demo", "host_token": "h", "database_url": "d", "jwt_key_file": "k", "pid": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.Gateways, " ") != "http://127.0.0.1:1 http://127.0.0.1:2" || got.Room != "demo" || got.HostToken != "h" || got.DatabaseURL != "d" || got.JWTKeyFile != "k" {
		t.Errorf("%+v", got)
	}
}

func TestReadTargetRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"empty":       {"", "unexpected end of JSON input"},
		"no JSON":     {"the room is live", "invalid character"},
		"cut off":     {`{"gateways": [`, "unexpected end"},
		"other shape": {`{"gateways": "http://127.0.0.1:1"}`, "cannot unmarshal"},
		"no gateway":  {`{"room": "demo"}`, "no gateway is given"},
		"no room":     {`{"gateways": [{"url": "http://127.0.0.1:1"}]}`, "no room is given"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, tt.content)
			got, err := ReadTarget(path)
			fails(t, err, "ready file "+path+": ")
			fails(t, err, tt.want)
			if len(got.Gateways) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	_, err := ReadTarget(filepath.Join(t.TempDir(), "missing"))
	fails(t, err, "no such file")
	_, err = ReadTarget(t.TempDir())
	fails(t, err, "is a directory")
}

func TestTargetCheck(t *testing.T) {
	for name, tt := range map[string]struct{ gateway, want string }{
		"websocket": {"ws://127.0.0.1:1", "no http:// or https:// address"},
		"no scheme": {"127.0.0.1:1", "no http:// or https:// address"},
		"no host":   {"http:///path", "no http:// or https:// address"},
		"empty":     {"", "no http:// or https:// address"},
		"broken":    {"http://[::1", "no http:// or https:// address"},
		"query":     {"http://127.0.0.1:1/?a=b", "without query"},
		"fragment":  {"http://127.0.0.1:1/#x", "without query"},
	} {
		t.Run(name, func(t *testing.T) {
			fails(t, Target{Gateways: []string{"http://127.0.0.1:1", tt.gateway}, Room: "demo"}.check(), tt.want)
		})
	}
	if err := (Target{Gateways: []string{"https://live.example/base/"}, Room: "demo"}).check(); err != nil {
		t.Error(err)
	}
}

func TestSocketURL(t *testing.T) {
	target := Target{Gateways: []string{"http://127.0.0.1:1", "https://live.example/base/", "HTTP://127.0.0.1:3/"}, Room: "a room/1"}
	for i, want := range []string{
		"ws://127.0.0.1:1/v1/rooms/a%20room%2F1/ws", "wss://live.example/base/v1/rooms/a%20room%2F1/ws",
		"ws://127.0.0.1:3/v1/rooms/a%20room%2F1/ws", "ws://127.0.0.1:1/v1/rooms/a%20room%2F1/ws",
	} {
		if got := target.socketURL(i); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}

// token makes a viewer's token that nobody verifies.
func token(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("another key than the server has"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestViewerTokens(t *testing.T) {
	given := token(t, jwt.MapClaims{"sub": "ann"})
	target := Target{ViewerTokens: []string{given}, JWTKeyFile: file(t, testKey+"\r\n")}
	tokens, err := target.viewerTokens("run", 3, part{})
	if err != nil {
		t.Fatal(err)
	}
	if tokens[0] != (viewerToken{given, "ann", 0}) || tokens[2].number != 2 {
		t.Errorf("the given one became %+v, the last is %+v", tokens[0], tokens[2])
	}
	for i, user := range []string{"load-run-1", "load-run-2"} {
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(tokens[i+1].text, claims, func(*jwt.Token) (any, error) { return []byte(testKey), nil }, jwt.WithExpirationRequired())
		if err != nil || claims["sub"] != user || tokens[i+1].user != user || claims["role"] != "viewer" || claims["rooms"] != "*" {
			t.Errorf("%v, %v", claims, err)
		}
	}
	if more, err := target.viewerTokens("run", 1, part{}); err != nil || len(more) != 1 {
		t.Errorf("%d tokens for one viewer: %v", len(more), err)
	}
}

func TestViewerTokensRefuses(t *testing.T) {
	ann := token(t, jwt.MapClaims{"sub": "ann"})
	for name, tt := range map[string]struct {
		target Target
		want   string
	}{
		"no token":       {Target{ViewerTokens: []string{"ann"}}, "viewer token 1: no token: token is malformed"},
		"no user":        {Target{ViewerTokens: []string{token(t, jwt.MapClaims{"name": "Ann"})}}, "viewer token 1: the token names no user"},
		"same user":      {Target{ViewerTokens: []string{ann, ann}}, `user "ann" has another one`},
		"too few":        {Target{ViewerTokens: []string{ann}}, "2 viewers need a token each, 1 are given and no signing key"},
		"no key file":    {Target{JWTKeyFile: filepath.Join(t.TempDir(), "missing")}, "no such file"},
		"empty key file": {Target{JWTKeyFile: file(t, "\n")}, "has 0 bytes, 32 are the least"},
		"short key":      {Target{JWTKeyFile: keyFile(t, testKey[1:])}, "has 31 bytes, 32 are the least"},
		"PEM":            {Target{JWTKeyFile: file(t, "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----\n")}, "holds a PEM key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.target.viewerTokens("run", 2, part{})
			fails(t, err, tt.want)
		})
	}
}
