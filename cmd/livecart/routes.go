package main

import (
	"context"

	"livecart/cart"
	"livecart/proto"
	"livecart/session"
)

// commandRoutes leads each WebSocket command to chat, cart, gift or the rooms. Who may give a command
// at all stands in Access; that a host or moderator acts in this room is settled by the token's rooms
// when the connection is made. Ordered are commands whose effects a person sees in the order in which
// they were given; those that wait for money or stock are not, so that one never holds up the next.
func commandRoutes(p *parts) map[string]session.Route {
	return map[string]session.Route{
		"room_start":  p.moveRoom(p.rooms.Start),
		"room_pause":  p.moveRoom(p.rooms.Pause),
		"room_resume": p.moveRoom(p.rooms.Resume),
		"room_end":    p.moveRoom(p.rooms.End),

		"chat_send": {Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okChatMessage(p.chat.Post(ctx, c.RoomID, c.Viewer.User(), c.RequestID, c.Command.GetChatSend().GetText()))
		}},
		"chat_delete": {Access: session.Moderators, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return nil, p.chat.Delete(ctx, c.RoomID, c.Viewer.User(), c.Command.GetChatDelete().GetMessageId())
		}},
		"chat_pin": {Access: session.Moderators, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return nil, p.chat.Pin(ctx, c.RoomID, c.Viewer.User(), c.Command.GetChatPin().GetMessageId())
		}},
		"chat_configure": {Access: session.Moderators, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return nil, p.chat.Configure(ctx, c.RoomID, c.Viewer.User(), c.Command.GetChatConfigure().GetSettings())
		}},
		"user_sanction": {Access: session.Moderators, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return nil, p.chat.Sanction(ctx, c.RoomID, c.Viewer.User(), c.Command.GetUserSanction())
		}},

		"gift_send": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			sent, _, err := p.gifts.Send(ctx, c.RoomID, c.Viewer.User(), c.RequestID, c.Command.GetGiftSend())
			return okGiftSent(sent, err)
		}},
		"wallet_get": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okWalletBalance(p.gifts.Wallet(ctx, c.Viewer.ID))
		}},

		"flash_buy": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okOrder(p.cart.Buy(ctx, c.RoomID, buyer(c.Viewer), c.RequestID, c.Command.GetFlashBuy()))
		}},
		"order_create": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okMade(p.cart.CreateOrders(ctx, c.RoomID, buyer(c.Viewer), c.RequestID, c.Command.GetOrderCreate()))
		}},
		"order_pay": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okPayment(p.cart.Pay(ctx, c.Viewer.ID, c.RequestID, c.Command.GetOrderPay().GetOrderId()))
		}},
		"order_cancel": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okOrder(p.cart.Cancel(ctx, c.Viewer.ID, c.RequestID, c.Command.GetOrderCancel().GetOrderId()))
		}},
		"order_get": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			get := c.Command.GetOrderGet()
			if get.GetOrderId() == "" && get.GetOfRequestId() != "" {
				return okMade(p.cart.OrdersOf(ctx, c.Viewer.ID, get.OfRequestId))
			}
			return okOrder(p.cart.Order(ctx, c.Viewer.ID, get))
		}},
		"order_list": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okOrders(p.cart.Orders(ctx, c.Viewer.ID, c.Command.GetOrderList()))
		}},
		"order_address": {Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okOrder(p.cart.SetAddress(ctx, c.Viewer.ID, c.Command.GetOrderAddress()))
		}},
		"order_receive": {Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okOrder(p.cart.Receive(ctx, c.Viewer.ID, c.RequestID, c.Command.GetOrderReceive().GetOrderId()))
		}},
		"order_reprice": p.sell(func(ctx context.Context, by cart.Seller, c session.Call) (*proto.Order, error) {
			return p.cart.Reprice(ctx, by, c.RequestID, c.Command.GetOrderReprice())
		}),
		"order_ship": p.sell(func(ctx context.Context, by cart.Seller, c session.Call) (*proto.Order, error) {
			return p.cart.Ship(ctx, by, c.RequestID, c.Command.GetOrderShip())
		}),
		"order_refund": p.sell(func(ctx context.Context, by cart.Seller, c session.Call) (*proto.Order, error) {
			return p.cart.Refund(ctx, by, c.RequestID, c.Command.GetOrderRefund())
		}),

		"product_push": {Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okProduct(p.cart.Push(ctx, c.RoomID, c.Viewer.User(), c.Command.GetProductPush()))
		}},
		"product_update": {Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okProduct(p.cart.UpdateProduct(ctx, c.RoomID, c.Viewer.User(), c.Command.GetProductUpdate()))
		}},
		"flash_start": {Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okFlashSale(p.cart.StartSale(ctx, c.RoomID, c.Viewer.User(), c.RequestID, c.Command.GetFlashStart()))
		}},
		"flash_update": {Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okFlashSale(p.cart.UpdateSale(ctx, c.RoomID, c.Viewer.User(), c.RequestID, c.Command.GetFlashUpdate()))
		}},
		"flash_stop": {Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
			return okFlashSale(p.cart.StopSale(ctx, c.RoomID, c.Viewer.User(), c.RequestID, c.Command.GetFlashStop()))
		}},
	}
}

// moveRoom is the route of one move of the room's lifecycle.
func (p *parts) moveRoom(move func(ctx context.Context, roomID string, by *proto.User) (*proto.Room, error)) session.Route {
	return session.Route{Access: session.Hosts, Ordered: true, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
		return okRoom(move(ctx, c.RoomID, c.Viewer.User()))
	}}
}

// sell is the route of a command about an order of the room's shop. Whoever gives it acts for that shop
// alone, whatever other shops the token names.
func (p *parts) sell(do func(ctx context.Context, by cart.Seller, c session.Call) (*proto.Order, error)) session.Route {
	return session.Route{Access: session.Hosts, Handle: func(ctx context.Context, c session.Call) (*proto.Ok, error) {
		room, err := p.rooms.Room(ctx, c.RoomID)
		if err != nil {
			return nil, err
		}
		return okOrder(do(ctx, cart.Seller{User: c.Viewer.User(), ShopID: room.ShopId}, c))
	}}
}

// buyer is the viewer as cart sees who buys.
func buyer(v session.Viewer) cart.Buyer {
	return cart.Buyer{User: v.User(), Source: v.Source, Guide: v.Guide}
}

// What commands return, put into a reply. With an error the reply means nothing.

func okRoom(r *proto.Room, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_Room{Room: r}}, err
}

func okChatMessage(c *proto.ChatMessage, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: c}}, err
}

func okGiftSent(g *proto.GiftSent, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_GiftSent{GiftSent: g}}, err
}

func okWalletBalance(w *proto.WalletBalance, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_WalletBalance{WalletBalance: w}}, err
}

func okOrder(o *proto.Order, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_Order{Order: o}}, err
}

// okMade is the order that a command made, or the orders where it made one of each shop.
func okMade(orders []*proto.Order, err error) (*proto.Ok, error) {
	if len(orders) == 1 {
		return okOrder(orders[0], err)
	}
	return okOrders(&proto.OrderPage{Orders: orders}, err)
}

func okPayment(p *proto.Payment, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_Payment{Payment: p}}, err
}

func okFlashSale(f *proto.FlashSale, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_FlashSale{FlashSale: f}}, err
}

func okProduct(p *proto.Product, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_Product{Product: p}}, err
}

func okOrders(page *proto.OrderPage, err error) (*proto.Ok, error) {
	return &proto.Ok{Value: &proto.Ok_Orders{Orders: page}}, err
}
