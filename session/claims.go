package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of a token's claims.
const (
	MaxUserID    = 128 // bytes
	MaxName      = 64  // code points
	MaxRooms     = 256 // rooms listed in one token
	maxClaimText = 128 // bytes of shop, source and guide
)

// Claims are what a token says, under their names in it.
type Claims struct {
	// Subject is the user's id: any UTF-8 without NUL, 1 to 128 bytes, not beginning with "anon:".
	Subject string `json:"sub"`
	// Name is at most 64 code points without control characters; the beginning of the subject when
	// empty.
	Name string `json:"name,omitempty"`
	// Role is viewer (also when empty), moderator, host, bot or operator.
	Role string `json:"role,omitempty"`
	// Rooms are the rooms that the token opens; none when empty. In the token it is a list, or "*"
	// for every room.
	Rooms RoomList `json:"rooms,omitempty"`
	// Shop, Source and Guide are at most 128 bytes each.
	Shop   string `json:"shop,omitempty"`
	Source string `json:"source,omitempty"`
	Guide  string `json:"guide,omitempty"`

	// ExpiresAt is required, in whole seconds; NotBefore is optional.
	ExpiresAt *jwt.NumericDate `json:"exp,omitempty"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	IssuedAt  *jwt.NumericDate `json:"iat,omitempty"`
	Issuer    string           `json:"iss,omitempty"`
	Audience  jwt.ClaimStrings `json:"aud,omitempty"`
}

// RoomList is a list of room ids, or "*" for every room.
type RoomList []string

// MarshalJSON writes the list, or "*" alone.
func (l RoomList) MarshalJSON() ([]byte, error) {
	if len(l) == 1 && l[0] == AllRooms {
		return json.Marshal(AllRooms)
	}
	return json.Marshal([]string(l))
}

// UnmarshalJSON reads a list or one word.
func (l *RoomList) UnmarshalJSON(data []byte) error {
	var list []string
	var err error
	if bytes.HasPrefix(data, []byte("[")) {
		err = json.Unmarshal(data, &list)
	} else {
		var word string
		if err = json.Unmarshal(data, &word); word != "" {
			list = RoomList{word}
		}
	}
	if err != nil {
		return errors.New(`rooms is a list of room ids or "*"`)
	}
	*l = list
	return nil
}

// The methods that the jwt library asks of claims.

func (c Claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }
func (c Claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore, nil }
func (c Claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt, nil }
func (c Claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c Claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c Claims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }

// viewer checks the claims and returns whom they describe.
func (c Claims) viewer() (Viewer, error) {
	if err := checkSubject(c.Subject); err != nil {
		return Viewer{}, err
	}
	name, err := checkName(c.Name, c.Subject)
	if err != nil {
		return Viewer{}, err
	}
	role := proto.Role_ROLE_VIEWER
	if c.Role != "" {
		var known bool
		if role, known = proto.ParseRole(c.Role); !known {
			return Viewer{}, fmt.Errorf("role %q is not one of viewer, moderator, host, bot, operator", c.Role)
		}
	}
	if len(c.Rooms) > MaxRooms {
		return Viewer{}, fmt.Errorf("rooms lists %d rooms, %d are the most", len(c.Rooms), MaxRooms)
	}
	for _, room := range c.Rooms {
		if room != AllRooms && !store.ValidID(room) {
			return Viewer{}, fmt.Errorf("rooms lists %q, which is no room id", room)
		}
	}
	for claim, text := range map[string]string{"shop": c.Shop, "source": c.Source, "guide": c.Guide} {
		if len(text) > maxClaimText || !cleanText(text) {
			return Viewer{}, fmt.Errorf("%s is longer than %d bytes or holds control characters", claim, maxClaimText)
		}
	}
	if c.ExpiresAt == nil {
		return Viewer{}, errors.New("exp is required")
	}
	return Viewer{
		ID: c.Subject, Name: name, Role: role, Rooms: c.Rooms,
		Shop: c.Shop, Source: c.Source, Guide: c.Guide, ExpiresAt: c.ExpiresAt.Time,
	}, nil
}

func checkSubject(sub string) error {
	switch {
	case sub == "":
		return errors.New("sub is required")
	case len(sub) > MaxUserID:
		return fmt.Errorf("sub has %d bytes, %d are the most", len(sub), MaxUserID)
	// Where a JSON string escapes half a surrogate pair, the decoder puts U+FFFD: two users would
	// become one. Postgres stores no NUL.
	case !utf8.ValidString(sub) || strings.ContainsRune(sub, utf8.RuneError) || strings.ContainsRune(sub, 0):
		return errors.New("sub is not valid UTF-8 or holds NUL")
	case strings.HasPrefix(sub, AnonymousPrefix):
		return fmt.Errorf("sub begins with %q, which stands for viewers without a token", AnonymousPrefix)
	}
	return nil
}

func checkName(name, sub string) (string, error) {
	if name == "" {
		runes := []rune(strings.Map(dropControl, sub))
		return string(runes[:min(len(runes), MaxName)]), nil
	}
	if n := utf8.RuneCountInString(name); n > MaxName {
		return "", fmt.Errorf("name has %d code points, %d are the most", n, MaxName)
	}
	if !cleanText(name) {
		return "", errors.New("name is not valid UTF-8 or holds control characters")
	}
	return name, nil
}

func dropControl(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// cleanText reports whether s is UTF-8 without control characters.
func cleanText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// Until sets when the token expires.
func (c Claims) Until(t time.Time) Claims {
	c.ExpiresAt = jwt.NewNumericDate(t)
	return c
}

// MintToken signs a token. The claims are checked as Verify would.
func MintToken(key SigningKey, c Claims) (string, error) {
	if _, err := c.viewer(); err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	if key.method == nil {
		return "", errors.New("mint token: no key")
	}
	token, err := jwt.NewWithClaims(key.method, c).SignedString(key.key)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return token, nil
}
