package loadtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxTokenLine is the longest line of a file of tokens, in bytes: no server takes a longer header.
const maxTokenLine = 64 << 10

// ReadTokens reads viewers' tokens, one a line; empty lines count for nothing. Each must be of a user of its
// own and not have expired; whether it is signed well, the server tells. Errors name the line.
func ReadTokens(from io.Reader) ([]string, error) {
	var tokens []string
	lines := map[string]int{} // by user
	scan := bufio.NewScanner(from)
	scan.Buffer(nil, maxTokenLine)
	line := 0
	for scan.Scan() {
		line++
		text := string(bytes.TrimSpace(scan.Bytes()))
		if text == "" {
			continue
		}
		p, err := passOf(text)
		if err == nil {
			err = p.outlasts(time.Now())
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if other := lines[p.user]; other > 0 {
			return nil, fmt.Errorf("line %d: user %q has a token in line %d, each viewer must be a user of its own", line, p.user, other)
		}
		lines[p.user] = line
		tokens = append(tokens, text)
	}
	switch err := scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: it is longer than %d bytes", line+1, maxTokenLine)
	case err != nil:
		return nil, err
	case len(tokens) == 0:
		return nil, errors.New("there is no token")
	}
	return tokens, nil
}

// pass is what a token says, whose signature the server alone can check.
type pass struct {
	user    string
	expires time.Time // zero where it does not
}

func passOf(token string) (pass, error) {
	claims := jwt.RegisteredClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return pass{}, fmt.Errorf("no token: %w", err)
	}
	p := pass{user: claims.Subject}
	if p.user == "" {
		return pass{}, errors.New("the token names no user")
	}
	if claims.ExpiresAt != nil {
		p.expires = claims.ExpiresAt.Time
	}
	return p, nil
}

// outlasts says what is wrong with a token that must be good at a time.
func (p pass) outlasts(at time.Time) error {
	switch told := p.expires.UTC().Format(time.RFC3339); {
	case p.expires.IsZero() || p.expires.After(at):
		return nil
	case p.expires.After(time.Now()):
		return fmt.Errorf("the token of %q expires at %s, before the end of the run", p.user, told)
	default:
		return fmt.Errorf("the token of %q expired at %s", p.user, told)
	}
}

// checkTokens says what is wrong with the tokens given for a run of so many users that ends at a time. Without
// a signing key there must be one for each of them.
func (t Target) checkTokens(users int, end time.Time) error {
	given := t.ViewerTokens[:min(users, len(t.ViewerTokens))]
	seen := map[string]bool{}
	for i, text := range given {
		p, err := passOf(text)
		if err == nil {
			err = p.outlasts(end)
		}
		if err == nil && seen[p.user] {
			err = fmt.Errorf("user %q has another one, each viewer must be a user of its own", p.user)
		}
		if err != nil {
			return fmt.Errorf("target: viewer token %d: %w", i+1, err)
		}
		seen[p.user] = true
	}
	if len(given) < users && t.JWTKeyFile == "" && t.key == nil {
		return fmt.Errorf("target: %d viewers need a token each, %d are given and no signing key for more", users, len(given))
	}
	return nil
}

// token returns that of viewer number i: the one that was given, else one that is made with the key.
func (t Target) token(key []byte, run string, i int) (viewerToken, error) {
	if i >= len(t.ViewerTokens) {
		return t.sign(key, fmt.Sprintf("load-%s-%d", run, i), i)
	}
	p, err := passOf(t.ViewerTokens[i])
	return viewerToken{t.ViewerTokens[i], p.user, i}, err
}
