package main

import (
	"context"
	"errors"
	"fmt"

	"livecart/cart"
	"livecart/gift"
	"livecart/proto"
	"livecart/session"
)

// The demo's names.
const (
	// demoRoom is the first room; one that has ended is followed by demo-2 and so on.
	demoRoom = "demo"
	demoShop = "demo-shop"
	// demoBeans is what each of the demo's viewers begins with.
	demoBeans = 10_000
	// demoStock is the pieces of each sku: enough for many load tests whose orders are never paid.
	demoStock = 100_000
)

// The demo's people.
var (
	demoHost      = session.Claims{Subject: "demo-host", Name: "Mei 小美", Role: "host", Rooms: session.RoomList{session.AllRooms}, Shop: demoShop}
	demoModerator = session.Claims{Subject: "demo-moderator", Name: "Lin 小林", Role: "moderator", Rooms: session.RoomList{session.AllRooms}}
	demoViewers   = []session.Claims{
		{Subject: "demo-viewer-1", Name: "Ann", Role: "viewer", Rooms: session.RoomList{session.AllRooms}},
		{Subject: "demo-viewer-2", Name: "Bo 阿波", Role: "viewer", Rooms: session.RoomList{session.AllRooms}},
		{Subject: "demo-viewer-3", Name: "Chen 晨", Role: "viewer", Rooms: session.RoomList{session.AllRooms}},
	}
)

// demoProduct is one product of the demo with its variants; prices are in fen.
type demoProduct struct {
	id, title, description string
	variants               []demoVariant
}

type demoVariant struct {
	name  string
	price int64
}

var demoProducts = []demoProduct{
	{"teapot", "Celadon teapot 青瓷茶壶", "Hand-thrown, 320 ml, with a built-in strainer.", []demoVariant{{"", 19_900}}},
	{"tea-tin", "Spring green tea 明前绿茶", "First picking, 125 g in an airtight tin.", []demoVariant{{"125 g", 12_800}, {"250 g", 23_800}}},
	{"scarf", "Mulberry silk scarf 桑蚕丝巾", "90 × 90 cm, hand-rolled edges.", []demoVariant{{"Jade 玉色", 29_900}, {"Coral 珊瑚", 29_900}}},
	{"thermos", "Steel thermos 保温杯", "500 ml, keeps tea hot for twelve hours.", []demoVariant{{"White 白", 8_900}, {"Ink 墨", 8_900}}},
	{"headphones", "Wireless headphones 无线耳机", "Forty hours of sound, quiet where it is loud.", []demoVariant{{"", 39_900}}},
	{"lipstick", "Velvet lipstick 丝绒口红", "Matt, stays through a dinner.", []demoVariant{{"Brick 砖红", 7_900}, {"Rose 玫瑰", 7_900}}},
	{"sneakers", "Everyday sneakers 小白鞋", "Leather upper, recycled sole.", []demoVariant{{"EU 38", 25_900}, {"EU 40", 25_900}, {"EU 42", 25_900}}},
	{"lamp", "Paper desk lamp 纸艺台灯", "Warm light, three steps, folds flat.", []demoVariant{{"", 15_900}}},
}

var demoGifts = []*proto.Gift{
	{Id: "heart", Names: map[string]string{"en": "Heart", "zh-Hans": "爱心"}, Beans: 1, Tier: 1},
	{Id: "rose", Names: map[string]string{"en": "Rose", "zh-Hans": "玫瑰"}, Beans: 5, Tier: 1},
	{Id: "coffee", Names: map[string]string{"en": "Coffee", "zh-Hans": "咖啡"}, Beans: 10, Tier: 1},
	{Id: "balloon", Names: map[string]string{"en": "Balloon", "zh-Hans": "气球"}, Beans: 66, Tier: 2},
	{Id: "firework", Names: map[string]string{"en": "Fireworks", "zh-Hans": "烟花"}, Beans: 99, Tier: 2},
	{Id: "crown", Names: map[string]string{"en": "Crown", "zh-Hans": "皇冠"}, Beans: 299, Tier: 2},
	{Id: "gem", Names: map[string]string{"en": "Gem", "zh-Hans": "宝石"}, Beans: 999, Tier: 3},
	{Id: "rocket", Names: map[string]string{"en": "Rocket", "zh-Hans": "火箭"}, Beans: 3_000, Tier: 3},
}

// seeder fills a database with the demo.
type seeder struct {
	app   *app
	rooms *session.Rooms
	cart  *cart.Cart
	gifts *gift.Gifts
}

func openSeeder(ctx context.Context, s settings) (*seeder, error) {
	a, err := newApp(ctx, appConfig{settings: s, name: "seed", log: s.logger()})
	if err != nil {
		return nil, err
	}
	sd := &seeder{app: a}
	if err := sd.wire(); err != nil {
		a.close()
		return nil, err
	}
	return sd, nil
}

func (s *seeder) wire() (err error) {
	if s.cart, err = cart.New(s.app.cartConfig()); err != nil {
		return err
	}
	if s.gifts, err = gift.New(s.app.giftConfig()); err != nil {
		return err
	}
	s.rooms, err = s.app.newRooms(s.cart.EndSalesOfRoom)
	return err
}

func (s *seeder) close() { s.app.close() }

// run seeds what is missing and returns the room to try out: the first of demo, demo-2, … that has
// not ended, as an end is for good.
func (s *seeder) run(ctx context.Context) (roomID string, err error) {
	for n := 1; ; n++ {
		roomID = demoRoom
		if n > 1 {
			roomID = fmt.Sprintf("%s-%d", demoRoom, n)
		}
		room, err := s.rooms.Room(ctx, roomID)
		if errors.Is(err, session.ErrNoRoom) {
			return roomID, s.fill(ctx, roomID)
		}
		if err != nil {
			return "", err
		}
		switch room.Phase {
		case proto.RoomPhase_ROOM_PHASE_ENDED:
			continue
		case proto.RoomPhase_ROOM_PHASE_SCHEDULED:
			return roomID, s.fill(ctx, roomID) // an earlier start was cut off in the middle
		}
		return roomID, nil
	}
}

// fill makes the room and everything in it, and goes live. Each step may be repeated.
func (s *seeder) fill(ctx context.Context, roomID string) error {
	host := &proto.User{Id: demoHost.Subject, Name: demoHost.Name, Role: proto.Role_ROLE_HOST}
	_, err := s.rooms.Put(ctx, &proto.Room{
		Id: roomID, Title: "Tea evening 茶话晚间", ShopId: demoShop, CoverUrl: "/static/demo/cover.svg", Anonymous: true, Host: host,
	})
	if err != nil {
		return err
	}
	if err := s.putShop(ctx, roomID); err != nil {
		return err
	}
	if err := s.putGifts(ctx); err != nil {
		return err
	}
	if err := s.putBeans(ctx); err != nil {
		return err
	}
	_, err = s.rooms.Start(ctx, roomID, host)
	return err
}

// putShop puts what is missing: what a host has edited since stays as it is.
func (s *seeder) putShop(ctx context.Context, roomID string) error {
	if err := s.cart.PutShop(ctx, cart.Shop{ID: demoShop, Name: "Mei's tea house 小美茶铺", Currency: "CNY"}); err != nil {
		return err
	}
	for i, p := range demoProducts {
		productID := "demo-" + p.id
		_, err := s.cart.Product(ctx, productID)
		if errors.Is(err, cart.ErrProductNotFound) {
			err = s.putProduct(ctx, productID, p)
		}
		if err != nil {
			return err
		}
		if err := s.cart.PutOnShelf(ctx, roomID, productID, i+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) putProduct(ctx context.Context, productID string, p demoProduct) error {
	product := &proto.Product{
		Id: productID, ShopId: demoShop, Title: p.title, Description: p.description, OnSale: true,
		ImageUrl: "/static/demo/" + p.id + ".svg",
	}
	stock := map[string]int64{}
	for n, v := range p.variants {
		sku := fmt.Sprintf("%s-%d", productID, n+1)
		stock[sku] = demoStock
		product.Listings = append(product.Listings, &proto.Listing{Id: sku, SkuId: sku, Name: v.name, Price: v.price})
	}
	_, err := s.cart.PutProduct(ctx, product, stock)
	return err
}

func (s *seeder) putGifts(ctx context.Context) error {
	for _, g := range demoGifts {
		put := proto.Clone(g)
		put.IconUrl = "/static/demo/gifts/" + g.Id + ".svg"
		if err := s.gifts.PutGift(ctx, put); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) putBeans(ctx context.Context) error {
	for _, v := range demoViewers {
		if err := s.gifts.Grant(ctx, v.Subject, "demo", demoBeans); err != nil {
			return err
		}
	}
	return nil
}
