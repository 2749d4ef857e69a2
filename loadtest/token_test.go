package loadtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// expiring is the claims of a user whose token is good for a time from now on.
func expiring(user string, life time.Duration) jwt.MapClaims {
	return jwt.MapClaims{"sub": user, "exp": jwt.NewNumericDate(time.Now().Add(life))}
}

func TestReadTokens(t *testing.T) {
	ann, bob := token(t, expiring("ann", time.Hour)), token(t, jwt.MapClaims{"sub": "bob"})
	got, err := ReadTokens(strings.NewReader("\n" + ann + "\r\n\n  " + bob))
	if err != nil || len(got) != 2 || got[0] != ann || got[1] != bob {
		t.Errorf("%q: %v", got, err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "\n\n", "there is no token"},
		{"no token", ann + "\n\nbob\n", "line 3: no token: token is malformed"},
		{"cut off", ann + "\n" + bob[:len(bob)/2], "line 2: no token: token is malformed"},
		{"two in a line", ann + " " + bob, "line 1: no token: "},
		{"no user", token(t, jwt.MapClaims{"name": "Ann"}), "line 1: the token names no user"},
		{"expired", ann + "\n" + token(t, expiring("bob", -time.Minute)), `line 2: the token of "bob" expired at 2`},
		{"same user", ann + "\n" + bob + "\n" + ann, `line 3: user "ann" has a token in line 1`},
		{"longest line", ann + "\n" + strings.Repeat("x", maxTokenLine-1) + "\n", "line 2: no token: "},
		{"longer line", ann + "\n" + strings.Repeat("x", maxTokenLine) + "\n", "line 2: it is longer than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadTokens(strings.NewReader(tt.text))
			fails(t, err, tt.want)
		})
	}
}

// tokens are those of n users, good for a time.
func tokens(t *testing.T, n int, life time.Duration) (all []string) {
	for i := range n {
		all = append(all, token(t, expiring(fmt.Sprintf("user-%d", i), life)))
	}
	return all
}

// A scenario is played without a key where there is a token for each who comes.
func TestPlayWithTokens(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, nil)
	p := evening(t, target)
	p.Target.JWTKeyFile = ""
	users := p.Plan.Users(p.Seed)
	p.Target.ViewerTokens = tokens(t, users, time.Hour)
	result, err := p.Run(t.Context())
	if err != nil || !result.Passed {
		t.Fatalf("%+v: %v", result, err)
	}
	r.nobodyIsLeft(t)
	for user := range r.users {
		if !strings.HasPrefix(user, "user-") && user != "hana" {
			t.Errorf("%s was there", user)
		}
	}
	if len(r.users) != users+1 {
		t.Errorf("%d users came, %d and the host should", len(r.users), users)
	}
}

func TestPlayNeedsATokenForEach(t *testing.T) {
	_, target := openRoom(t, nil)
	target.JWTKeyFile = ""
	p := evening(t, target)
	users := p.Plan.Users(p.Seed)
	enough := tokens(t, users, time.Hour)
	for _, tt := range []struct {
		name   string
		tokens []string
		want   string
	}{
		{"one too few", enough[1:], fmt.Sprintf("%d viewers need a token each, %d are given and no signing key for more", users, users-1)},
		{"one that expires too soon", append(tokens(t, 1, time.Second), enough[1:]...), `viewer token 1: the token of "user-0" expires at`},
		{"one of another's user", append(enough[1:users:users], enough[1]), fmt.Sprintf(`viewer token %d: user "user-1" has another one`, users)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.Target.ViewerTokens = tt.tokens
			_, err := p.Run(t.Context())
			fails(t, err, tt.want)
		})
	}
}
