package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"livecart/session/store"
)

// userKeys are the Redis keys of one comment's limits, in the order of limit.lua. All carry the
// user's hash tag, so that one script call stays on one node of a cluster.
func userKeys(a *ask) []string {
	tag := "{u:" + store.HashUser(a.message.User.Id) + "}:chat:"
	return []string{
		tag + "rate",
		tag + "said:" + a.roomID + ":" + a.textHash,
		tag + "slow:" + a.roomID,
		tag + "request:" + a.requestHash,
	}
}

// commentsKey is the list of a room's recent comments.
func commentsKey(roomID string) string { return "{r:" + roomID + "}:comments" }

// contentHash returns 32 hex digits that stand for the parts in their order.
func contentHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
