package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"livecart/gift"
	"livecart/proto"
	"livecart/session"
	"livecart/session/store"
)

// listRooms answers with the rooms that are scheduled, live or paused and that the asker may watch.
func (p *parts) listRooms(w http.ResponseWriter, r *request) error {
	rooms, err := p.rooms.List(r.Context(), proto.RoomPhase_ROOM_PHASE_LIVE, proto.RoomPhase_ROOM_PHASE_PAUSED, proto.RoomPhase_ROOM_PHASE_SCHEDULED)
	if err != nil {
		return err
	}
	watchable := make([]*proto.Room, 0, len(rooms))
	for _, room := range rooms {
		if r.viewer.Role == proto.Role_ROLE_OPERATOR || session.Enter(r.viewer, room) == nil {
			watchable = append(watchable, room)
		}
	}
	list, err := wireList(watchable)
	if err != nil {
		return err
	}
	return session.WriteJSON(w, http.StatusOK, struct {
		Rooms []json.RawMessage `json:"rooms"`
	}{list})
}

// wireList returns the messages in the JSON of the wire, [] for none.
func wireList[M proto.Message](messages []M) ([]json.RawMessage, error) {
	list := make([]json.RawMessage, len(messages))
	for i, m := range messages {
		var err error
		if list[i], err = proto.Encode(proto.JSON, m); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readRoom answers with the room as a new viewer is told of it. Its ETag leaves the server's time
// out, so it holds while nothing has happened.
func (p *parts) readRoom(w http.ResponseWriter, r *request) error {
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	welcome, err := p.gateway.Welcome(r.Context(), room.Id)
	if err != nil {
		return err
	}
	now := welcome.ServerTimeMs
	welcome.ServerTimeMs = 0
	lasting, err := proto.Encode(proto.JSON, welcome)
	if err != nil {
		return err
	}
	welcome.ServerTimeMs = now
	body, err := proto.Encode(proto.JSON, welcome)
	if err != nil {
		return err
	}
	return session.WriteCachedBody(w, r.Request, "application/json", session.ETag(lasting), body)
}

// createRoom schedules a room. A host creates rooms of the own shop that the own token opens, with
// themselves as host; an operator names both.
func (p *parts) createRoom(w http.ResponseWriter, r *request) error {
	room := new(proto.Room)
	if err := session.ReadMessage(w, r.Request, room); err != nil {
		return err
	}
	if room.Id == "" {
		room.Id = store.NewID("room")
	}
	if !store.ValidID(room.Id) || room.ShopId != "" && !store.ValidID(room.ShopId) {
		return proto.Refuse(proto.ReasonInvalidArgument, "ids have 1 to %d of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	room.Version = 0
	if r.viewer.Role == proto.Role_ROLE_HOST {
		if room.ShopId == "" {
			room.ShopId = r.viewer.Shop
		}
		if err := ofShop(r.viewer, room.ShopId); err != nil {
			return err
		}
		if !r.viewer.MayEnter(room.Id) {
			return proto.Refuse(proto.ReasonForbidden, "the token does not open room %s", room.Id)
		}
		room.Host = r.viewer.User()
	}
	if room.ShopId != "" {
		if _, err := p.cart.Shop(r.Context(), room.ShopId); err != nil {
			return err
		}
	}
	switch _, err := p.rooms.Room(r.Context(), room.Id); {
	case err == nil:
		return proto.Refuse(proto.ReasonVersionConflict, "room %s exists; change it with PATCH", room.Id)
	case !errors.Is(err, session.ErrNoRoom):
		return err
	}
	made, err := p.rooms.Put(r.Context(), room)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/rooms/"+made.Id)
	return session.WriteMessage(w, http.StatusCreated, made)
}

// roomEdit is what may be changed of a room; absent fields stay.
type roomEdit struct {
	// Version is the one that the asker saw; absent for whatever it is.
	Version       *whole  `json:"version"`
	Title         *string `json:"title"`
	PlaybackURL   *string `json:"playback_url"`
	CoverURL      *string `json:"cover_url"`
	Anonymous     *bool   `json:"anonymous"`
	ScheduledAtMs *whole  `json:"scheduled_at_ms"`
}

// editRoom changes the description of a room and announces it.
func (p *parts) editRoom(w http.ResponseWriter, r *request) error {
	var edit roomEdit
	if err := session.ReadJSON(w, r.Request, &edit); err != nil {
		return err
	}
	seen, err := p.inRoom(r)
	if err != nil {
		return err
	}
	room, err := p.rooms.Room(r.Context(), seen.Id)
	if err != nil {
		return err
	}
	set(&room.Title, edit.Title)
	set(&room.PlaybackUrl, edit.PlaybackURL)
	set(&room.CoverUrl, edit.CoverURL)
	set(&room.Anonymous, edit.Anonymous)
	set(&room.ScheduledAtMs, (*int64)(edit.ScheduledAtMs))
	set(&room.Version, (*int64)(edit.Version))
	if room.Version < 1 {
		return proto.Refuse(proto.ReasonVersionConflict, "versions of a room begin with 1")
	}
	changed, err := p.rooms.Put(r.Context(), room)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusOK, changed)
}

// set changes field where value is given.
func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// postMove is the handler of one move of the room's lifecycle.
func (p *parts) postMove(move func(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error)) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		room, err := p.inRoom(r)
		if err != nil {
			return err
		}
		moved, err := move(r.Context(), room.Id, r.viewer.User())
		if err != nil {
			return err
		}
		return session.WriteMessage(w, http.StatusOK, moved)
	}
}

// postComment says something in the room, as chat_send does; the Idempotency-Key is its request_id.
func (p *parts) postComment(w http.ResponseWriter, r *request) error {
	var comment struct {
		Text string `json:"text"`
	}
	if err := session.ReadJSON(w, r.Request, &comment); err != nil {
		return err
	}
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	m, err := p.chat.Post(r.Context(), room.Id, r.viewer.User(), r.key, comment.Text)
	if err != nil {
		return err
	}
	return session.WriteMessage(w, http.StatusCreated, m)
}

// readRanking answers with the room's top senders of gifts.
func (p *parts) readRanking(w http.ResponseWriter, r *request) error {
	limit, err := r.number("limit", defaultRanking, 1, gift.MaxRanking)
	if err != nil {
		return err
	}
	room, err := p.inRoom(r)
	if err != nil {
		return err
	}
	entries, err := p.gifts.Ranking(r.Context(), room.Id, limit)
	if err != nil {
		return err
	}
	list, err := wireList(entries)
	if err != nil {
		return err
	}
	return writeCached(w, r, struct {
		Entries []json.RawMessage `json:"entries"`
	}{list})
}

// defaultRanking is how many places of a ranking are shown where nobody asks for more.
const defaultRanking = 20

// writeCached is session.WriteCached for a Go value.
func writeCached(w http.ResponseWriter, r *request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return session.WriteCachedBody(w, r.Request, "application/json", session.ETag(body), body)
}
