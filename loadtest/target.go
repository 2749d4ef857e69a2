package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Target is the room under test and how to get in.
type Target struct {
	// Gateways are the public base URLs, http:// or https://; viewers take turns over them.
	Gateways []string
	Room     string
	// HostToken steers the room: it starts and stops the sale.
	HostToken string
	// ViewerTokens are tokens of distinct viewers. Where there are fewer than viewers, JWTKeyFile
	// must be given.
	ViewerTokens []string
	// JWTKeyFile is the HMAC secret with which further viewers' tokens are made.
	JWTKeyFile string
	// DatabaseURL lets the checks read Postgres; empty leaves those checks out, and the result says so.
	DatabaseURL string
}

// readyFile is what livecart dev writes once it is ready.
type readyFile struct {
	Gateways []struct {
		URL string `json:"url"`
	} `json:"gateways"`
	Room        string `json:"room"`
	HostToken   string `json:"host_token"`
	DatabaseURL string `json:"database_url"`
	JWTKeyFile  string `json:"jwt_key_file"`
}

// ReadTarget reads a ready file.
func ReadTarget(path string) (Target, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Target{}, fmt.Errorf("ready file: %w", err)
	}
	var r readyFile
	if err := json.Unmarshal(data, &r); err != nil {
		return Target{}, fmt.Errorf("ready file %s: %w", path, err)
	}
	t := Target{Room: r.Room, HostToken: r.HostToken, DatabaseURL: r.DatabaseURL, JWTKeyFile: r.JWTKeyFile}
	for _, g := range r.Gateways {
		t.Gateways = append(t.Gateways, g.URL)
	}
	return t, t.check()
}

// check says what the target lacks.
func (t Target) check() error {
	if len(t.Gateways) == 0 {
		return errors.New("target: no gateway is given")
	}
	for _, g := range t.Gateways {
		u, err := url.Parse(g)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("target: gateway %q is no http:// or https:// address", g)
		}
	}
	if t.Room == "" {
		return errors.New("target: no room is given")
	}
	return nil
}

// socketURL returns the address of the room's WebSocket on gateway number i, counted round.
func (t Target) socketURL(i int) string {
	base := strings.TrimSuffix(t.Gateways[i%len(t.Gateways)], "/")
	return "ws" + strings.TrimPrefix(base, "http") + "/v1/rooms/" + url.PathEscape(t.Room) + "/ws"
}

// tokenLife is how long the tokens of one run are good for.
const tokenLife = 2 * time.Hour

// viewerToken returns a token for viewer number i. Viewers made here are new with each run, so that
// no limit or balance of an earlier run is in the way.
func (t Target) viewerToken(run string, i int) (token, id string, err error) {
	if i < len(t.ViewerTokens) {
		id, err := subject(t.ViewerTokens[i])
		return t.ViewerTokens[i], id, err
	}
	if t.JWTKeyFile == "" {
		return "", "", fmt.Errorf("target: viewer %d needs a token, and neither enough tokens nor a signing key are given", i+1)
	}
	key, err := os.ReadFile(t.JWTKeyFile)
	if err != nil {
		return "", "", fmt.Errorf("target: signing key: %w", err)
	}
	id = fmt.Sprintf("load-%s-%d", run, i)
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": id, "name": fmt.Sprintf("Viewer %d", i), "role": "viewer", "rooms": "*",
		"exp": jwt.NewNumericDate(time.Now().Add(tokenLife)),
	}).SignedString([]byte(strings.TrimSpace(string(key))))
	if err != nil {
		return "", "", fmt.Errorf("target: sign token: %w", err)
	}
	return token, id, nil
}

// subject reads the user of a token without checking its signature: the server does that.
func subject(token string) (string, error) {
	claims := jwt.RegisteredClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return "", fmt.Errorf("target: viewer token: %w", err)
	}
	return claims.Subject, nil
}
