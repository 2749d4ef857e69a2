package gift

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// MaxCount is how many gifts one gift_send sends at most; the least is 1.
	MaxCount = 999
	// maxName is how many characters of a sender's name are kept with a tip.
	maxName = 128
	maxUser = 128 // bytes of a user id
)

// Send sends gifts from a signed-in user and waits until they are booked, at most PendingAfter. It
// returns what the room sees and the sender's balance after it. requestID makes it safe to repeat:
// see the package's promises. Its errors are the package's refusals; [ErrPending], also after ctx
// has ended, leaves open whether the tip was booked.
func (g *Gifts) Send(ctx context.Context, roomID string, by *proto.User, requestID string, cmd *proto.GiftSend) (*proto.GiftSent, *proto.WalletBalance, error) {
	sent, balance, err := g.send(ctx, roomID, by, requestID, cmd)
	result := "booked"
	if err != nil {
		result = string(proto.ReasonInternal)
		if p, ok := errors.AsType[*proto.Problem](err); ok {
			result = string(p.Reason)
		}
	}
	g.total.WithLabelValues(result).Inc()
	return sent, balance, err
}

func (g *Gifts) send(ctx context.Context, roomID string, by *proto.User, requestID string, cmd *proto.GiftSend) (*proto.GiftSent, *proto.WalletBalance, error) {
	req, err := newTipRequest(roomID, by, requestID, cmd)
	if err != nil {
		return nil, nil, err
	}
	d, err := g.dispatcher.send(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	if d.Outcome == booked {
		return d.Sent, d.Balance, nil
	}
	if d.Outcome == notConfirmed {
		return nil, nil, confirmationRequired(d.Beans)
	}
	if refusal, ok := refusals[d.Outcome]; ok {
		return nil, nil, refusal
	}
	return nil, nil, fmt.Errorf("tip of room %s: unknown outcome %v", roomID, d.Outcome)
}

// newTipRequest checks the form of a gift_send. Whether room, gift and beans exist is the ledger's
// to say, because its answer is recorded under the key.
func newTipRequest(roomID string, by *proto.User, requestID string, cmd *proto.GiftSend) (*proto.TipRequest, error) {
	switch {
	case by.GetId() == "":
		return nil, ErrSignIn
	case len(by.Id) > maxUser || !storable(by.Id):
		return nil, invalid("a user id is 1 to %d bytes of text", maxUser)
	case requestID == "" || utf8.RuneCountInString(requestID) > proto.MaxRequestID || !storable(requestID):
		return nil, invalid("a gift needs a request_id of 1 to %d characters", proto.MaxRequestID)
	case !store.ValidID(roomID):
		return nil, ErrNoRoom
	case !store.ValidID(cmd.GetGiftId()):
		return nil, ErrUnknownGift
	case cmd.Count < 1 || cmd.Count > MaxCount:
		return nil, ErrCount
	case cmd.ComboId != "" && !store.ValidID(cmd.ComboId):
		return nil, invalid("a combo_id is 1 to %d of A-Z a-z 0-9 _ -", store.MaxID)
	case cmd.ConfirmedBeans < 0:
		return nil, invalid("confirmed_beans is what the gifts cost, or 0")
	}
	return &proto.TipRequest{
		RoomId: roomID,
		Sender: &proto.User{Id: by.Id, Name: tidyName(by.Name), Role: by.Role},
		GiftId: cmd.GiftId, Count: cmd.Count, ComboId: cmd.ComboId,
		Key: requestID, Hash: hashTip(roomID, cmd), ConfirmedBeans: cmd.ConfirmedBeans,
	}, nil
}

// storable reports whether Postgres can hold s as text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// tidyName makes a display name storable and short; a tip must not fail for it.
func tidyName(name string) string { return tidyText(name, maxName) }

// tidyText makes a text storable and cuts it to most characters.
func tidyText(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

// hashTip tells requests under one key apart. None of the parts can hold a space.
func hashTip(roomID string, cmd *proto.GiftSend) []byte {
	content := fmt.Appendf(nil, "%s %s %d %s", roomID, cmd.GiftId, cmd.Count, cmd.ComboId)
	if cmd.ConfirmedBeans != 0 {
		content = fmt.Appendf(content, " %d", cmd.ConfirmedBeans)
	}
	sum := sha256.Sum256(content)
	return sum[:]
}
