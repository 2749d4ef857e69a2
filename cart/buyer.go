package cart

import (
	"errors"
	"unicode/utf8"

	"livecart/proto"
)

const (
	// maxBuyerID is the longest user id in bytes.
	maxBuyerID = 128
	// maxBuyerText is the longest name, source or guide in characters, so that a batch of orders fits
	// into one message.
	maxBuyerText = 200
)

// Buyer is who buys and on whose recommendation.
type Buyer struct {
	User *proto.User
	// Source and Guide are the attribution of the buyer's token, kept with the order.
	Source, Guide string
}

// check refuses nobody, and what cannot be kept with an order.
func (by Buyer) check() error {
	id := by.User.GetId()
	switch {
	case id == "":
		return ErrSignInRequired
	case len(id) > maxBuyerID || !utf8.ValidString(id) || clean(id) != id:
		return invalid("a user id is UTF-8 of at most %d bytes", maxBuyerID)
	}
	return errors.Join(
		checkText("name", by.User.Name, 0, maxBuyerText),
		checkText("source", by.Source, 0, maxBuyerText),
		checkText("guide", by.Guide, 0, maxBuyerText),
	)
}
