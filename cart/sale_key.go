package cart

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"livecart/proto"
	"livecart/session/store"
)

// markAge is how long Redis remembers at least that a key was decided.
const markAge = 24 * time.Hour

// saleKeys are the keys that every script on a sale names first. The hash tag keeps all of a sale
// on one server.
func saleKeys(saleID string) []string {
	tag := "{f:" + saleID + "}:"
	return []string{tag + "sale", tag + "pending", tag + "buyers", tag + "marks", tag + "strays"}
}

// attemptKey is the idempotency key of a flash_buy.
type attemptKey struct{ buyerID, key string }

func keyOf(a *proto.FlashAttempt) attemptKey { return attemptKey{a.Buyer.GetId(), a.Key} }

// compareKeys is the order in which outcomes are written.
func compareKeys(x, y attemptKey) int {
	return cmp.Or(strings.Compare(x.buyerID, y.buyerID), strings.Compare(x.key, y.key))
}

// reservation is an entry of a sale's pending hash.
type reservation struct {
	attemptKey
	user     string // hash of the buyer id
	quantity int32
	at       string // when, by the clock of Redis; tells a key's reservations apart
	hash     []byte
}

// parseReservation reads <user>:<request_id> -> <quantity>:<unix ms>:<content>:<buyer id>.
func parseReservation(field, value string) (reservation, error) {
	user, key, found := strings.Cut(field, ":")
	parts := strings.SplitN(value, ":", 4)
	if !found || len(parts) != 4 {
		return reservation{}, fmt.Errorf("reservation %q is malformed", field)
	}
	quantity, err := strconv.ParseInt(parts[0], 10, 32)
	if err != nil {
		return reservation{}, fmt.Errorf("reservation %q: %w", field, err)
	}
	hash, err := hex.DecodeString(parts[2])
	if err != nil {
		return reservation{}, fmt.Errorf("reservation %q: %w", field, err)
	}
	return reservation{attemptKey{parts[3], key}, user, int32(quantity), parts[1], hash}, nil
}

// hashed returns what stands for an attempt in Redis: the field of its buyer and key, and its content.
func hashed(a *proto.FlashAttempt) (field, content string) {
	return store.HashUser(a.Buyer.GetId()) + ":" + a.Key, hex.EncodeToString(a.Hash)
}
