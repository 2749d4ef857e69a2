package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// NewID returns a new id that sorts by time: the prefix, "_" and a UUIDv7 in 32 hex digits.
func NewID(prefix string) string {
	id := uuid.Must(uuid.NewV7())
	return prefix + "_" + hex.EncodeToString(id[:])
}

// MaxID is the most characters of one of our ids.
const MaxID = 64

// ValidID reports whether id has the form of our ids: 1 to 64 of A-Z, a-z, 0-9, "_" and "-". Such
// an id may stand in a NATS subject and a Redis key as it is.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}) < 0
}

// HashUser returns 32 hex digits that stand for a user id in Redis keys, whose hash tags a user's
// own choice of braces would break.
func HashUser(userID string) string {
	sum := sha256.Sum256([]byte(userID))
	return hex.EncodeToString(sum[:16])
}
