package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
	"livecart/session/store"
)

// What a viewer is told about access.
var (
	ErrSignInRequired = proto.Refuse(proto.ReasonSignInRequired, "this needs a token")
	ErrTokenExpired   = proto.Refuse(proto.ReasonTokenExpired, "the token has expired")
	ErrForbidden      = proto.Refuse(proto.ReasonForbidden, "the token does not allow this")
	ErrOtherShop      = proto.Refuse(proto.ReasonForbidden, "the token is a host's of another shop")
)

// maxToken bounds a token in bytes, before anything of it is read.
const maxToken = 8 << 10

// TicketConfig says which tokens are believed. At least one of KeyFile and JWKSURL is needed; with
// both, either may have signed.
type TicketConfig struct {
	// KeyFile holds an HMAC secret of at least 32 bytes (a trailing newline is not part of it), or a
	// PEM public key or certificate: RSA of at least 2048 bits, P-256 or Ed25519.
	KeyFile string
	// JWKSURL serves a JSON Web Key Set. It is first asked when a token comes, again for an unknown
	// kid at most once a minute, and every 10 minutes so that withdrawn keys go; while it is down the
	// keys it served before are kept. Symmetric keys in it are ignored.
	JWKSURL string
	// Issuer and Audience must be the token's iss and among its aud; empty does not ask.
	Issuer, Audience string
	// Leeway is allowed on exp and nbf; 5 s when 0, none when negative.
	Leeway time.Duration
	// HTTP fetches JWKSURL; a client with sane bounds when nil.
	HTTP *http.Client
	// Log is told when JWKSURL cannot be read; nil discards.
	Log *slog.Logger
}

// Tickets verifies tokens. Safe for concurrent use.
type Tickets struct {
	file   *verifyKey
	jwks   *keySet
	parser *jwt.Parser
}

// NewTickets reads the key file; it asks nothing of the network.
func NewTickets(cfg TicketConfig) (*Tickets, error) {
	if cfg.KeyFile == "" && cfg.JWKSURL == "" {
		return nil, errors.New("tokens need a key file or a JWKS URL to be verified with")
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = 5 * time.Second
	}
	t := new(Tickets)
	if cfg.KeyFile != "" {
		key, err := loadVerifyKey(cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		t.file = &key
	}
	if cfg.JWKSURL != "" {
		set, err := newKeySet(cfg.JWKSURL, cfg.HTTP, cfg.Log)
		if err != nil {
			return nil, err
		}
		t.jwks = set
	}
	opts := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"HS256", "RS256", "ES256", "EdDSA"}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(max(cfg.Leeway, 0)),
		jwt.WithStrictDecoding(),
	}
	if cfg.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		opts = append(opts, jwt.WithAudience(cfg.Audience))
	}
	t.parser = jwt.NewParser(opts...)
	return t, nil
}

// Verify returns the viewer that a token describes. Its errors are Problems: token_expired,
// sign_in_required with what is wrong, or try_again while no keys could be had. The context bounds
// a fetch of keys.
func (t *Tickets) Verify(ctx context.Context, token string) (Viewer, error) {
	if len(token) > maxToken {
		return Viewer{}, refuseToken("it is longer than %d bytes", maxToken)
	}
	if !validPayload(token) {
		return Viewer{}, refuseToken("it is malformed")
	}
	var claims Claims
	_, err := t.parser.ParseWithClaims(token, &claims, func(parsed *jwt.Token) (any, error) {
		return t.keysFor(ctx, parsed)
	})
	if err != nil {
		return Viewer{}, tokenProblem(err)
	}
	v, err := claims.viewer()
	if err != nil {
		return Viewer{}, refuseToken("%v", err)
	}
	return v, nil
}

// validPayload reports whether the token's claims are UTF-8. The JSON decoder would put U+FFFD for
// each bad byte, and two users could become one.
func validPayload(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && utf8.Valid(payload)
}

// keysFor returns the keys that may have signed the token: those of the token's algorithm, by
// which a public key is never used as an HMAC secret.
func (t *Tickets) keysFor(ctx context.Context, token *jwt.Token) (any, error) {
	var keys jwt.VerificationKeySet
	alg := token.Method.Alg()
	if t.file != nil && t.file.alg == alg {
		keys.Keys = append(keys.Keys, t.file.key)
	}
	// An HMAC token never comes from a published set, so it costs no fetch.
	if t.jwks != nil && alg != jwt.SigningMethodHS256.Alg() {
		kid, _ := token.Header["kid"].(string)
		published, err := t.jwks.find(ctx, kid, alg)
		if err != nil && len(keys.Keys) == 0 {
			return nil, err
		}
		for _, k := range published {
			keys.Keys = append(keys.Keys, k)
		}
	}
	if len(keys.Keys) == 0 {
		return nil, refuseToken("it is signed with a key or algorithm that is not accepted here")
	}
	return keys, nil
}

func refuseToken(format string, args ...any) *proto.Problem {
	return proto.Refuse(proto.ReasonSignInRequired, "the token is not accepted: "+format, args...)
}

// tokenProblem puts the jwt library's error into words. The library's own text may quote the token.
func tokenProblem(err error) error {
	var p *proto.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refuseToken("it is malformed")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return refuseToken("its signature does not fit")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuseToken("a required claim is missing")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return refuseToken("it is not valid yet")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
		return refuseToken("it was made for something else")
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrTokenExpired
	}
	return refuseToken("it is not valid")
}

// FromRequest returns the viewer of a request: by Authorization: Bearer, else by the query's
// access_token, else an anonymous one, whose viewer_id the query may carry (the form of our ids).
func (t *Tickets) FromRequest(r *http.Request) (Viewer, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Viewer{}, proto.Refuse(proto.ReasonSignInRequired, "Authorization must be a Bearer token")
		}
		return t.Verify(r.Context(), strings.TrimSpace(token))
	}
	query := r.URL.Query()
	if token := query.Get(accessToken); token != "" {
		return t.Verify(r.Context(), token)
	}
	return anonymous(query.Get("viewer_id"))
}

func anonymous(viewerID string) (Viewer, error) {
	if viewerID == "" {
		viewerID = rand.Text()
	} else if !store.ValidID(viewerID) {
		return Viewer{}, proto.Refuse(proto.ReasonInvalidArgument, "viewer_id must be 1 to %d of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	return Viewer{ID: AnonymousPrefix + viewerID, Role: proto.Role_ROLE_VIEWER, Anonymous: true}, nil
}

// accessToken is the query parameter that may carry a token.
const accessToken = "access_token"

// SafeURL returns path and query of a request's URL for logs, without the token.
func SafeURL(u *url.URL) string {
	safe := url.URL{Path: u.Path, RawQuery: u.RawQuery}
	// A query that the parser stumbles over may hide the token from it.
	if query, err := url.ParseQuery(u.RawQuery); err != nil {
		safe.RawQuery = ""
	} else if query.Has(accessToken) {
		query.Del(accessToken)
		safe.RawQuery = query.Encode()
	}
	return safe.String()
}
