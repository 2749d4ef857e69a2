package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
)

// room is an honest little room in memory: it does what the smoke scenario asks of a server.
type room struct {
	*gateway
	// onCommand and onRequest, if set, see everything first and may swallow it by returning true.
	onCommand func(cmd *proto.Command) bool
	onRequest func(path string) bool
	early     bool // sells before the start
	tls       bool
	full      int  // number of the one handshake that is refused, 0 for none
	bare      bool // has nothing on its shelf
	// What a broken room does.
	forgets  int                    // numbered events that a resumed viewer is not told of
	passOver func(user string) bool // who is not told of the next numbered event
	silent   bool                   // the next comment is told to nobody
	mute     bool                   // the next product shown is told to nobody
	ghosts   int64                  // counted beside the viewers
	refuses  string                 // kind of command that it never carries out
	cuts     string                 // kind of command that it answers with the end of the connection

	log []*proto.Event

	mu       sync.Mutex
	sockets  map[*socket]string // with the user
	seq      int64
	likes    int64
	beans    map[string]int64
	version  int64
	replies  map[string]*proto.Ok // by user and request_id
	orders   map[string]*proto.Order
	sale     *proto.FlashSale
	buyers   map[string]bool
	comments int
	tips     int
	knocks   int
	visits   int64
	users    map[string]bool // who was there
	settings *proto.ChatSettings
}

// openRoom opens a room and returns it with a target that has everything but a database.
func openRoom(t testing.TB, change func(*room)) (*room, Target) {
	t.Helper()
	r := &room{
		sockets: map[*socket]string{}, beans: map[string]int64{}, replies: map[string]*proto.Ok{},
		orders: map[string]*proto.Order{}, buyers: map[string]bool{}, users: map[string]bool{},
	}
	if change != nil {
		change(r)
	}
	r.gateway = serve(t, func(g *gateway) {
		g.joined, g.answer, g.left, g.tls = r.enter, r.do, r.exit, r.tls
		g.refuse = r.refuse
		g.HandleFunc("/", r.request)
	})
	target := r.target()
	target.JWTKeyFile, target.HostToken = keyFile(t, testKey), hostToken(t)
	return r, target
}

func hostToken(t testing.TB) string {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "hana"}).SignedString([]byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *room) refuse(w http.ResponseWriter, _ *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.knocks++
	if r.knocks == r.full {
		http.Error(w, "full", http.StatusServiceUnavailable)
	}
	return r.knocks == r.full
}

func (r *room) enter(c *socket) {
	p, err := passOf(c.token)
	if err != nil {
		c.Errorf("token %q: %v", c.token, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	user := p.user
	r.sockets[c], r.users[user] = user, true
	r.visits++
	if _, after, ok := strings.Cut(c.query, "after_seq="); ok {
		r.resume(c, after)
		r.tellAll(r.stats())
		return
	}
	w := &proto.SessionWelcome{Seq: r.seq, Room: &proto.Room{Phase: proto.RoomPhase_ROOM_PHASE_LIVE}, ChatSettings: r.settings}
	if !r.bare {
		w.Shelf = []*proto.ShelfEntry{{ProductId: "p", OnSale: true}, {ProductId: "q", OnSale: true}}
	}
	c.welcome(w)
	r.tellAll(r.stats())
	c.events(&proto.Event{Event: &proto.Event_SessionSelf{SessionSelf: &proto.SessionSelf{Balance: r.beans[user], BalanceVersion: r.version}}})
}

// resume tells a viewer who comes back what was missed.
func (r *room) resume(c *socket, after string) {
	seq, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		c.Errorf("after_seq: %v", err)
	}
	welcome := &proto.Event{Event: &proto.Event_SessionWelcome{SessionWelcome: &proto.SessionWelcome{Seq: r.seq, Resumed: true}}}
	c.events(append([]*proto.Event{welcome}, r.log[min(int(seq)+r.forgets, len(r.log)):]...)...)
}

func (r *room) exit(c *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sockets, c)
	r.tellAll(r.stats())
}

func (r *room) stats() *proto.Event {
	return &proto.Event{Event: &proto.Event_RoomStats{RoomStats: &proto.RoomStats{Likes: r.likes, HeadSeq: r.seq, Online: int64(len(r.sockets)) + r.ghosts, Visits: r.visits}}}
}

func (r *room) tellAll(ev *proto.Event) {
	for c := range r.sockets {
		c.events(ev)
	}
}

func (r *room) tellAllNumbered(ev *proto.Event) {
	r.seq++
	ev.Seq = r.seq
	r.log = append(r.log, ev)
	for c, user := range r.sockets {
		if r.passOver == nil || !r.passOver(user) {
			c.events(ev)
		}
	}
	r.passOver = nil
}

func (r *room) tellUser(user string, ev *proto.Event) {
	for c, u := range r.sockets {
		if u == user {
			c.events(ev)
		}
	}
}

func (r *room) wallet(user string) *proto.WalletBalance {
	return &proto.WalletBalance{Balance: r.beans[user], Version: r.version}
}

// book changes a balance and tells its owner.
func (r *room) book(user string, beans int64) {
	r.version++
	r.beans[user] += beans
	r.tellUser(user, &proto.Event{Event: &proto.Event_WalletBalance{WalletBalance: r.wallet(user)}})
}

func (r *room) do(c *socket, cmd *proto.Command) {
	if r.onCommand != nil && r.onCommand(cmd) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if cmd.Kind() == r.cuts {
		c.Close()
		return
	}
	user := r.sockets[c]
	key := user + " " + cmd.RequestId
	if ok := r.replies[key]; ok != nil {
		c.ok(cmd, ok)
		return
	}
	ok, reason := r.carryOut(user, cmd)
	if reason != "" {
		c.no(cmd, reason)
		return
	}
	r.replies[key] = ok
	c.ok(cmd, ok)
}

func (r *room) carryOut(user string, cmd *proto.Command) (*proto.Ok, proto.Reason) {
	if cmd.Kind() == r.refuses {
		return nil, proto.ReasonForbidden
	}
	switch x := cmd.Command.(type) {
	case *proto.Command_ChatSend:
		r.comments++
		m := &proto.ChatMessage{Id: fmt.Sprintf("c%d", r.comments), Text: x.ChatSend.Text}
		if !r.silent {
			r.tellAll(&proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: m}})
		}
		r.silent = false
		return &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: m}}, ""
	case *proto.Command_LikeSend:
		r.likes += int64(x.LikeSend.Count)
		total := &proto.LikeTotal{Delta: int64(x.LikeSend.Count), Total: r.likes}
		r.tellAll(&proto.Event{Event: &proto.Event_LikeTotal{LikeTotal: total}})
		r.tellAll(r.stats())
		return &proto.Ok{Value: &proto.Ok_LikeTotal{LikeTotal: total}}, ""
	case *proto.Command_GiftSend:
		r.tips++
		sent := &proto.GiftSent{TipIds: []string{fmt.Sprintf("t%d", r.tips)}, Beans: 3, ComboId: x.GiftSend.ComboId}
		r.book(user, -3)
		r.tellAll(&proto.Event{Event: &proto.Event_GiftSent{GiftSent: sent}})
		return &proto.Ok{Value: &proto.Ok_GiftSent{GiftSent: sent}}, ""
	case *proto.Command_ProductPush:
		if !r.mute {
			r.tellAllNumbered(&proto.Event{Event: &proto.Event_ProductPushed{ProductPushed: &proto.ProductPushed{Product: &proto.Product{Id: x.ProductPush.ProductId}}}})
		}
		r.mute = false
		return &proto.Ok{}, ""
	case *proto.Command_ChatPin:
		r.tellAllNumbered(&proto.Event{Event: &proto.Event_ChatPinned{ChatPinned: &proto.ChatPinned{Message: &proto.ChatMessage{Id: x.ChatPin.MessageId}}}})
		return &proto.Ok{}, ""
	case *proto.Command_ChatConfigure:
		r.settings = x.ChatConfigure.Settings
		r.tellAllNumbered(&proto.Event{Event: &proto.Event_ChatSettings{ChatSettings: proto.Clone(r.settings)}})
		return &proto.Ok{}, ""
	case *proto.Command_WalletGet:
		return &proto.Ok{Value: &proto.Ok_WalletBalance{WalletBalance: r.wallet(user)}}, ""
	case *proto.Command_FlashStart:
		r.sale = &proto.FlashSale{Id: "s", Quantity: x.FlashStart.Quantity, Version: 1, StartsAtMs: max(x.FlashStart.StartsAtMs, time.Now().UnixMilli())}
		r.tellAllNumbered(&proto.Event{Event: &proto.Event_FlashStarted{FlashStarted: &proto.FlashStarted{Sale: proto.Clone(r.sale)}}})
		return &proto.Ok{Value: &proto.Ok_FlashSale{FlashSale: proto.Clone(r.sale)}}, ""
	case *proto.Command_FlashBuy:
		return r.buy(user, cmd.RequestId)
	case *proto.Command_FlashStop:
		r.tellAllNumbered(&proto.Event{Event: &proto.Event_FlashEnded{FlashEnded: &proto.FlashEnded{SaleId: "s", Sold: r.sale.Sold}}})
		return &proto.Ok{Value: &proto.Ok_FlashSale{FlashSale: proto.Clone(r.sale)}}, ""
	case *proto.Command_OrderGet:
		if order := r.orders[user+" "+x.OrderGet.OfRequestId]; order != nil {
			return &proto.Ok{Value: &proto.Ok_Order{Order: proto.Clone(order)}}, ""
		}
		return nil, proto.ReasonNotFound
	case *proto.Command_OrderPay:
		return &proto.Ok{Value: &proto.Ok_Payment{Payment: &proto.Payment{Url: "/pay/order/" + x.OrderPay.OrderId}}}, ""
	}
	return nil, proto.ReasonUnknownCommand
}

func (r *room) buy(user, requestID string) (*proto.Ok, proto.Reason) {
	switch {
	case time.Now().UnixMilli() < r.sale.StartsAtMs && !r.early:
		return nil, proto.ReasonNotStarted
	case r.buyers[user]:
		return nil, proto.ReasonLimitPerBuyer
	case r.sale.Sold == r.sale.Quantity:
		return nil, proto.ReasonSoldOut
	}
	r.buyers[user] = true
	r.sale.Sold++
	order := &proto.Order{Id: fmt.Sprintf("o%d", r.sale.Sold), Version: 1, State: proto.OrderState_ORDER_STATE_AWAITING_PAYMENT, CreatedMs: time.Now().UnixMilli()}
	r.orders[user+" "+requestID] = order
	if r.sale.Sold == r.sale.Quantity {
		r.tellAllNumbered(&proto.Event{Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{SaleId: "s"}}})
	}
	return &proto.Ok{Value: &proto.Ok_Order{Order: proto.Clone(order)}}, ""
}

// request is the HTTP side.
func (r *room) request(w http.ResponseWriter, req *http.Request) {
	io.Copy(io.Discard, req.Body) // until then the server does not look whether the other side hangs up
	if r.onRequest != nil && r.onRequest(req.URL.Path) {
		<-req.Context().Done() // the shopper hung up
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	what, id, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	switch what {
	case "pay":
		what, id, _ := strings.Cut(id, "/")
		if what == "beans" {
			r.book(id, beansEach)
			return
		}
		for key, order := range r.orders {
			if order.Id == id {
				order.State, order.Version = proto.OrderState_ORDER_STATE_PAID, 2
				user, _, _ := strings.Cut(key, " ")
				r.tellUser(user, &proto.Event{Event: &proto.Event_OrderUpdated{OrderUpdated: &proto.OrderUpdated{Order: proto.Clone(order)}}})
			}
		}
	case "v1":
		switch what, _, _ := strings.Cut(id, "/"); what {
		case "topups":
			p, _ := passOf(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
			json.NewEncoder(w).Encode(map[string]string{"url": "/pay/beans/" + p.user})
		case "gifts":
			w.Write([]byte(`{"gifts": [{"id": "cake", "beans": "33"}, {"id": "rose", "beans": "3"}]}`))
		case "products":
			w.Write([]byte(`{"id": "p", "on_sale": true, "listings": [{"id": "small", "sku_id": "k1", "price": "90", "available": "3"}, {"id": "big", "sku_id": "k2", "price": "90", "available": "99"}]}`))
		}
	default:
		http.NotFound(w, req)
	}
}
