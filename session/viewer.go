package session

import (
	"slices"
	"time"

	"livecart/proto"
)

// AnonymousPrefix begins the ID of every viewer without a token. No token may carry such a sub, so
// the two kinds of viewer never share an ID.
const AnonymousPrefix = "anon:"

// AllRooms as an entry of Viewer.Rooms stands for every room.
const AllRooms = "*"

// Viewer is who is behind a connection or an HTTP request, as the token says. A value: copies may
// be used from any goroutine.
type Viewer struct {
	// ID is the token's sub: any UTF-8 without NUL, 1 to 128 bytes. For an anonymous viewer it is
	// "anon:" and the viewer_id that the client chose, or a random one.
	ID string
	// Name is what others see, at most 64 code points.
	Name string
	Role proto.Role
	// Rooms are the rooms that the token opens; AllRooms for every one.
	Rooms []string
	// Shop is the shop that a host sells for, or empty.
	Shop string
	// Source and Guide say who brought the viewer; they are written on orders.
	Source, Guide string
	// ExpiresAt is the token's end; zero for an anonymous viewer.
	ExpiresAt time.Time
	// Anonymous viewers only watch, and only where the room allows it.
	Anonymous bool
}

// User returns the viewer as others see them.
func (v Viewer) User() *proto.User {
	return &proto.User{Id: v.ID, Name: v.Name, Role: v.Role}
}

// MayEnter reports whether the token opens the room. An anonymous viewer may, as far as tokens go:
// the room's own setting decides (see Enter).
func (v Viewer) MayEnter(roomID string) bool {
	return v.Anonymous || slices.Contains(v.Rooms, roomID) || slices.Contains(v.Rooms, AllRooms)
}

// Enter tells whether the viewer may be in the room with the token's role. A host's token that names a
// shop is for rooms of that shop alone, whatever rooms it lists: a host steers the whole room. It needs nothing but the room as last seen, so
// a gateway that has the room's snapshot decides without a call.
func Enter(v Viewer, room *proto.Room) error {
	if v.Anonymous && !room.GetAnonymous() {
		return ErrSignInRequired
	}
	if !v.MayEnter(room.GetId()) {
		return ErrForbidden
	}
	if v.Role == proto.Role_ROLE_HOST && v.Shop != "" && v.Shop != room.GetShopId() {
		return ErrOtherShop
	}
	return nil
}
