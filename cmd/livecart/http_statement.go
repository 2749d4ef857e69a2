package main

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"livecart/proto"
	"livecart/session"
)

// getStatement answers with a room's statement, as JSON or CSV. Operators and hosts of the room's shop
// see all of it, hosts of other shops what concerns theirs.
func (p *parts) getStatement(w http.ResponseWriter, r *request) error {
	asCSV, err := wantsCSV(r.Request)
	if err != nil {
		return err
	}
	room, err := p.rooms.Room(r.Context(), r.PathValue("room"))
	if err != nil {
		return err
	}
	whole := r.viewer.Role == proto.Role_ROLE_OPERATOR
	if !whole {
		if !r.viewer.MayEnter(room.Id) {
			return session.ErrForbidden
		}
		own := room.ShopId != "" && r.viewer.Shop == room.ShopId
		whole = own || r.viewer.Shop == "" && r.viewer.ID == room.Host.GetId()
		if !whole && r.viewer.Shop == "" {
			return proto.Refuse(proto.ReasonForbidden, "the token is not of shop %s", room.ShopId)
		}
	}
	s, err := p.readStatement(r.Context(), room.Id)
	if err != nil {
		return err
	}
	if !whole {
		s.ofShop(r.viewer.Shop)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept, Authorization")
	if !asCSV {
		return session.WriteJSON(w, http.StatusOK, s)
	}
	body, err := s.csv()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="statement-`+room.Id+`.csv"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(body)
	return err
}

// wantsCSV reads ?format=, or where it is absent the first of JSON and CSV that Accept names.
func wantsCSV(r *http.Request) (bool, error) {
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		return false, nil
	case "csv":
		return true, nil
	case "":
	default:
		return false, proto.Refuse(proto.ReasonInvalidArgument, "format is json or csv")
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "text/csv":
			return true, nil
		case "application/json":
			return false, nil
		}
	}
	return false, nil
}
