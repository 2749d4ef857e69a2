package loadtest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
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
	// ViewerTokens are tokens of distinct viewers, as [ReadTokens] reads them: the first is that of viewer 0.
	// Where there are fewer than viewers, and so than [Plan.Users] of a scenario, JWTKeyFile must be given.
	ViewerTokens []string
	// CAFile holds the certificates, in PEM, of authorities that sign those of the gateways, beside the
	// system's own. A certificate that signed itself is its own authority.
	CAFile string
	tls    *tls.Config // what comes of it, nil for the system's own alone
	// JWTKeyFile is the HMAC secret with which further viewers' tokens are made.
	JWTKeyFile string
	// What the files hold, where they are on another machine.
	key, authorities []byte
	// How long the tokens made here are good for, tokenLife when 0.
	life time.Duration
	// DatabaseURL lets the checks read Postgres; empty leaves those checks out, and the result says so.
	DatabaseURL string
	// RedisURL and NATSURL let the result say what the servers stand on; empty leaves that out.
	RedisURL, NATSURL string
	// Servers are the processes behind the gateways, as far as they are known.
	Servers Servers
	// FaultCommands say how a [Fault] is done, by what it does: "kill gateway 2" to a command for the shell.
	// Where there is none, the ready file must name the process.
	FaultCommands map[string]string

	// Where ReadTarget read; empty without.
	readyFile string
}

// readyFile is what livecart dev writes once it is ready.
type readyFile struct {
	Gateways []struct {
		URL   string `json:"url"`
		Admin string `json:"admin"`
	} `json:"gateways"`
	Room        string `json:"room"`
	HostToken   string `json:"host_token"`
	DatabaseURL string `json:"database_url"`
	JWTKeyFile  string `json:"jwt_key_file"`
	RedisURL    string `json:"redis_url"`
	NATSURL     string `json:"nats_url"`
	PID         int    `json:"pid"`
	// Gateways and servers that are processes of their own.
	Processes []process `json:"processes"`
}

// ReadTarget reads a ready file. Its error names the file and what is wrong with it.
func ReadTarget(path string) (Target, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Target{}, fmt.Errorf("ready file: %w", err)
	}
	var r readyFile
	if err := json.Unmarshal(data, &r); err != nil {
		return Target{}, fmt.Errorf("ready file %s: %w", path, err)
	}
	t := Target{
		readyFile: path, Servers: Servers{Optional: true}, Room: r.Room, HostToken: r.HostToken,
		DatabaseURL: r.DatabaseURL, JWTKeyFile: r.JWTKeyFile, RedisURL: r.RedisURL, NATSURL: r.NATSURL,
	}
	for _, g := range r.Gateways {
		t.Gateways = append(t.Gateways, g.URL)
		if g.Admin != "" {
			t.Servers.MetricsURLs = append(t.Servers.MetricsURLs, g.Admin)
		}
	}
	// It may run elsewhere; and where gateways are processes that may end, their addresses tell more than numbers.
	if _, err := lookAt(r.PID); r.PID > 0 && err == nil && len(r.Processes) == 0 {
		t.Servers.PIDs = []int{r.PID}
	}
	if err := t.check(); err != nil {
		return Target{}, fmt.Errorf("ready file %s: %w", path, err)
	}
	return t, nil
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
		if u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("target: gateway %q must be a base address without query and fragment", g)
		}
	}
	if t.Room == "" {
		return errors.New("target: no room is given")
	}
	return nil
}

// prepare says what the target lacks and reads whom it trusts.
func (t Target) prepare() (Target, error) {
	err := t.check()
	if err == nil && t.CAFile != "" {
		if t.authorities, err = os.ReadFile(t.CAFile); err != nil {
			err = fmt.Errorf("target: authorities: %w", err)
		}
	}
	if err != nil || t.authorities == nil {
		return t, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if !pool.AppendCertsFromPEM(t.authorities) {
		return t, fmt.Errorf("target: authorities: %s holds no PEM certificate", t.CAFile)
	}
	t.tls = &tls.Config{RootCAs: pool}
	return t, nil
}

// secure reports whether a gateway speaks TLS.
func (t Target) secure() bool {
	for i := range t.Gateways {
		if secure(t.socketURL(i)) {
			return true
		}
	}
	return false
}

// socketURL returns the address of the room's WebSocket on gateway number i, counted round.
func (t Target) socketURL(i int) string {
	u, err := url.Parse(t.Gateways[i%len(t.Gateways)])
	if err != nil {
		return t.Gateways[i%len(t.Gateways)] // check has refused it before
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	return u.JoinPath("v1", "rooms", url.PathEscape(t.Room), "ws").String()
}

// tokenLife is how long the tokens of one run are good for.
const tokenLife = 2 * time.Hour

// minSecret is the shortest HMAC secret that a server takes, in bytes.
const minSecret = 32

// viewerToken is a token, whose it is, and the viewer's number.
type viewerToken struct {
	text, user string
	number     int
}

// viewerTokens returns tokens of those of n distinct viewers who are of a part. Those made here are new with
// each run, so that no limit or balance of an earlier run is in the way.
func (t Target) viewerTokens(run string, n int, own part) ([]viewerToken, error) {
	if err := t.checkTokens(n, time.Now()); err != nil {
		return nil, err
	}
	var key []byte
	if n > len(t.ViewerTokens) {
		var err error
		if key, err = t.secret(); err != nil {
			return nil, err
		}
	}
	var tokens []viewerToken
	for i := range n {
		if !own.has(uint32(i)) {
			continue
		}
		token, err := t.token(key, run, i)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// sign makes the token of viewer number i.
func (t Target) sign(key []byte, user string, i int) (viewerToken, error) {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "name": fmt.Sprintf("Viewer %d", i), "role": "viewer", "rooms": "*",
		"exp": jwt.NewNumericDate(time.Now().Add(cmp.Or(t.life, tokenLife))),
	}).SignedString(key)
	if err != nil {
		return viewerToken{}, fmt.Errorf("target: sign token: %w", err)
	}
	return viewerToken{text, user, i}, nil
}

// secret returns what tokens are signed with, nil for nothing.
func (t Target) secret() ([]byte, error) {
	if t.JWTKeyFile == "" {
		return t.key, nil
	}
	return signingKey(t.JWTKeyFile)
}

// signingKey reads the secret as servers read it: without the line's end.
func signingKey(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("target: signing key: %w", err)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("target: signing key %s holds a PEM key; tokens are made with an HMAC secret only, give tokens instead", file)
	}
	key := bytes.TrimRight(data, "\r\n")
	if len(key) < minSecret {
		return nil, fmt.Errorf("target: signing key %s has %d bytes, %d are the least", file, len(key), minSecret)
	}
	return key, nil
}
