package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"livecart/proto"
	"livecart/session"
	"livecart/session/store"
	"livecart/session/web"
)

// idempotencyKey is the header that makes it safe to send a request again.
const idempotencyKey = "Idempotency-Key"

// endpoint is one address of the HTTP API. Its access is the least that the asker's role must be;
// that a host or moderator acts in the own room or shop is the handler's to check.
type endpoint struct {
	pattern string // of http.ServeMux
	access  session.Access
	// keyed endpoints move money or stock: they need an Idempotency-Key.
	keyed  bool
	handle func(w http.ResponseWriter, r *request) error
}

// request is one request of the API, its token read.
type request struct {
	*http.Request
	viewer session.Viewer
	// key is the Idempotency-Key, 1 to 64 characters, or empty where it is not needed and not given.
	key string
}

// apiEndpoints is the whole HTTP API but for the room's WebSocket and the payment notices, which know
// their askers by other means.
func apiEndpoints(p *parts) []endpoint {
	const anyone, signedIn, moderators, hosts = session.Anyone, session.SignedIn, session.Moderators, session.Hosts
	return []endpoint{
		{"GET /v1/rooms", anyone, false, p.listRooms},
		{"POST /v1/rooms", hosts, false, p.createRoom},
		{"GET /v1/rooms/{room}", anyone, false, p.readRoom},
		{"PATCH /v1/rooms/{room}", hosts, false, p.editRoom},
		{"POST /v1/rooms/{room}/start", hosts, false, p.postMove(p.rooms.Start)},
		{"POST /v1/rooms/{room}/pause", hosts, false, p.postMove(p.rooms.Pause)},
		{"POST /v1/rooms/{room}/resume", hosts, false, p.postMove(p.rooms.Resume)},
		{"POST /v1/rooms/{room}/end", hosts, false, p.postMove(p.rooms.End)},
		{"POST /v1/rooms/{room}/comments", signedIn, false, p.postComment},
		{"GET /v1/rooms/{room}/ranking", anyone, false, p.readRanking},
		{"GET /v1/rooms/{room}/shelf", anyone, false, p.readShelf},
		{"PUT /v1/rooms/{room}/shelf/{product}", hosts, false, p.putOnShelf},
		{"DELETE /v1/rooms/{room}/shelf/{product}", hosts, false, p.removeFromShelf},
		{"GET /v1/rooms/{room}/orders", moderators, false, p.listRoomOrders},
		{"GET /v1/rooms/{room}/statement", hosts, false, p.getStatement},

		{"GET /v1/products/{product}", anyone, false, p.readProduct},
		{"GET /v1/shops/{shop}", anyone, false, p.readShop},
		{"PUT /v1/shops/{shop}", hosts, false, p.putShop},
		{"PUT /v1/shops/{shop}/products/{product}", hosts, false, p.putProduct},
		{"GET /v1/shops/{shop}/webhooks/{webhook}", hosts, false, p.readWebhook},
		{"PUT /v1/shops/{shop}/webhooks/{webhook}", hosts, false, p.putWebhook},
		{"DELETE /v1/shops/{shop}/webhooks/{webhook}", hosts, false, p.deleteWebhook},

		{"GET /v1/shops/{shop}/skus/{sku}/shares", hosts, false, p.listShares},
		{"PUT /v1/shops/{shop}/skus/{sku}/shares/{other}", hosts, false, p.putShare},
		{"DELETE /v1/shops/{shop}/skus/{sku}/shares/{other}", hosts, false, p.deleteShare},
		{"GET /v1/shops/{shop}/orders", hosts, false, p.listShopOrders},

		{"GET /v1/gifts", anyone, false, p.listGifts},
		{"PUT /v1/gifts/{gift}", hosts, false, p.putGift},
		{"GET /v1/wallet", signedIn, false, p.readWallet},
		{"POST /v1/topups", signedIn, true, p.postTopUp},
		{"GET /v1/lots", signedIn, false, p.listLots},
		{"POST /v1/lots/{lot}/refund", hosts, true, p.refundLot},
		{"POST /v1/tips/{tip}/reversal", hosts, true, p.reverseTip},
		{"GET /v1/settlements", signedIn, false, p.listSettlements},
		{"POST /v1/settlements", hosts, true, p.postSettlement},
		{"GET /v1/hosts/{host}/earnings", signedIn, false, p.readEarnings},
		{"GET /v1/shops/{shop}/fees", hosts, false, p.readFees},
		{"PUT /v1/shops/{shop}/fees", hosts, false, p.putFees},

		{"GET /v1/orders", signedIn, false, p.listOrders},
		{"POST /v1/orders", signedIn, true, p.postOrder},
		{"GET /v1/orders/{order}", signedIn, false, p.readOrder},
		{"POST /v1/orders/{order}/pay", signedIn, true, p.payOrder},
		{"POST /v1/orders/{order}/cancel", signedIn, true, p.cancelOrder},
		{"PUT /v1/orders/{order}/address", signedIn, false, p.putAddress},
		{"POST /v1/orders/{order}/receive", signedIn, true, p.receiveOrder},
		{"POST /v1/orders/{order}/reprice", hosts, true, p.repriceOrder},
		{"POST /v1/orders/{order}/ship", hosts, true, p.shipOrder},
		{"POST /v1/orders/{order}/refund", hosts, true, p.refundOrder},
	}
}

// Patterns beside apiEndpoints.
const (
	socketPattern = "GET /v1/rooms/{room}/ws"
	noticePattern = "POST /v1/webhooks/payments/sandbox"
)

// httpRoutes serves the public listener: the API under /v1/, and the pages.
func httpRoutes(p *parts) http.Handler {
	mux := http.NewServeMux()
	for _, e := range apiEndpoints(p) {
		mux.Handle(e.pattern, p.serve(e))
	}
	mux.Handle(socketPattern, p.gateway)
	mux.HandleFunc(noticePattern, p.takeNotice)

	public := http.NewServeMux()
	// Joins come by the thousand a second, and a page's origin is checked by the gateway: they go past what
	// only the API needs.
	public.Handle(socketPattern, p.noted(p.gateway))
	public.Handle("/v1/", p.forPages(p.noted(strict(mux, p.log))))
	public.Handle("/", p.noted(web.Handler(web.Config{})))
	return public
}

// serve answers for one endpoint: it reads the token and the key, bounds the time, and puts errors
// into words.
func (p *parts) serve(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, plain *http.Request) {
		ctx, cancel := context.WithTimeout(plain.Context(), requestTimeout)
		defer cancel()
		r := &request{Request: plain.WithContext(ctx)}
		err := r.identify(p.tickets, e)
		if err == nil {
			err = e.handle(w, r)
		}
		if err == nil {
			return
		}
		if errors.Is(err, context.DeadlineExceeded) {
			p.log.Warn("a request took too long", "method", r.Method, "url", session.SafeURL(r.URL), "err", err)
			err = session.ErrTryAgain
		}
		session.WriteProblem(w, r.Request, p.log, err)
	})
}

// identify checks the path and fills in who asks and under which key.
func (r *request) identify(tickets *session.Tickets, e endpoint) (err error) {
	if err := r.checkPath(); err != nil {
		return err
	}
	if r.viewer, err = tickets.FromRequest(r.Request); err != nil {
		return err
	}
	if err := permit(e.access, r.viewer); err != nil {
		return err
	}
	r.key = r.Header.Get(idempotencyKey)
	switch n := utf8.RuneCountInString(r.key); {
	case n == 0 && e.keyed:
		return proto.Refuse(proto.ReasonInvalidArgument, "this needs the header %s, so that sending it again does nothing twice", idempotencyKey)
	case n > proto.MaxRequestID || !utf8.ValidString(r.key):
		return proto.Refuse(proto.ReasonInvalidArgument, "%s has 1 to %d characters", idempotencyKey, proto.MaxRequestID)
	}
	return nil
}

// checkPath refuses ids that cannot be any: what has not their form may be nothing that Postgres takes.
func (r *request) checkPath() error {
	for _, name := range []string{"room", "shop", "product", "gift", "order", "sku", "other", "lot", "tip", "webhook"} {
		switch id := r.PathValue(name); {
		case id == "" || store.ValidID(id):
		case name == "room":
			return session.ErrNoRoom
		case name == "other":
			return proto.Refuse(proto.ReasonNotFound, "there is no such shop")
		default:
			return proto.Refuse(proto.ReasonNotFound, "there is no such %s", name)
		}
	}
	return nil
}

// permit checks a viewer's role.
func permit(access session.Access, v session.Viewer) error {
	switch {
	case access == session.Anyone:
		return nil
	case v.Anonymous:
		return session.ErrSignInRequired
	case access == session.Moderators && !v.Role.Moderates(), access == session.Hosts && !v.Role.Hosts():
		return session.ErrForbidden
	}
	return nil
}

// inRoom returns the room of the request's path for someone who may act there by role: operators in
// every room, others where their token lets them in.
func (p *parts) inRoom(r *request) (*proto.Room, error) {
	roomID := r.PathValue("room")
	if r.viewer.Role == proto.Role_ROLE_OPERATOR {
		return p.rooms.Room(r.Context(), roomID)
	}
	return p.rooms.Enter(r.Context(), r.viewer, roomID)
}

// ofShop tells whether the asker may act for a shop: its hosts, and operators.
func ofShop(v session.Viewer, shopID string) error {
	if v.Role == proto.Role_ROLE_OPERATOR || v.Role == proto.Role_ROLE_HOST && v.Shop != "" && v.Shop == shopID {
		return nil
	}
	return proto.Refuse(proto.ReasonForbidden, "the token is not of shop %s", shopID)
}

// number reads a whole number from the query, fallback where it is absent.
func (r *request) number(name string, fallback, least, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, proto.Refuse(proto.ReasonInvalidArgument, "%s is a whole number from %d to %d", name, least, most)
	}
	return n, nil
}
