package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
)

// maxBots bounds dev --bots: each is a connection of this process to itself.
const maxBots = 2_000

// Mean times between what one bot does. A room of 50 bots then sees a comment about every second.
const (
	botCommentEvery = 45 * time.Second
	botLikeEvery    = 6 * time.Second
	botGiftEvery    = 90 * time.Second
	// A bot that hears of a flash sale thinks for at most this long.
	botThinks = 4 * time.Second
	// Beans that a bot buys when it has none left.
	botBeans = 700
)

var botComments = []string{
	"Hello from Hangzhou!", "主播好！", "Is the green tea from this spring?", "好看！", "How big is the teapot?", "多少钱？",
	"I bought the scarf last week, lovely.", "已下单", "Does it ship abroad?", "包邮吗？", "That jade colour!", "求链接",
	"First time here, hi all", "茶香都闻到了", "When is the next flash sale?", "什么时候秒杀？",
}

// runBots lets n bot viewers into the room until ctx ends and waits for them.
func runBots(ctx context.Context, n int, info *readyInfo, log *slog.Logger) error {
	key, err := session.LoadSigningKey(info.JWTKeyFile)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		claims := session.Claims{
			Subject: fmt.Sprintf("demo-bot-%d", i+1), Name: fmt.Sprintf("Guest %d", i+1), Role: "viewer", Rooms: session.RoomList{session.AllRooms},
		}
		token, err := session.MintToken(key, claims.Until(time.Now().Add(demoTokenLife)))
		if err != nil {
			return err
		}
		b := &bot{gateway: info.Gateways[i%len(info.Gateways)], token: token, log: log, client: &http.Client{Timeout: 10 * time.Second}}
		group.Go(func() error { return b.run(ctx) })
	}
	return group.Wait()
}

// bot is one viewer that acts on its own.
type bot struct {
	gateway readyGateway
	token   string
	log     *slog.Logger
	client  *http.Client
	gifts   []string
}

// run joins, and joins again whenever the connection ends, until ctx ends.
func (b *bot) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := b.visit(ctx); err != nil && ctx.Err() == nil {
			b.log.Debug("a bot left the room", "err", err)
		}
		sleep(ctx, rand.N(3*time.Second))
	}
	return nil
}

// visit stays until the connection or ctx ends.
func (b *bot) visit(ctx context.Context) error {
	sales := make(chan string, 8)
	v, err := loadtest.Join(ctx, loadtest.ViewerConfig{
		URL: b.gateway.WS, Token: b.token, Format: proto.Binary,
		OnEvent: func(ev *proto.Event) {
			if sale := ev.GetFlashStarted().GetSale(); sale != nil {
				select {
				case sales <- sale.Id:
				default: // it is thinking about enough of them
				}
			}
		},
	})
	if err != nil {
		return err
	}
	defer v.Close()
	if err := b.readGifts(ctx); err != nil {
		return err
	}
	comment, like, gift := botTimer(botCommentEvery), botTimer(botLikeEvery), botTimer(botGiftEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.Done():
			return loadtest.ErrCut
		case <-comment.C:
			comment.Reset(around(botCommentEvery))
			text := botComments[rand.N(len(botComments))]
			_, err = v.Do(ctx, &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}})
		case <-like.C:
			like.Reset(around(botLikeEvery))
			_, err = v.Do(ctx, &proto.Command{Command: &proto.Command_LikeSend{LikeSend: &proto.LikeSend{Count: 1 + rand.Int32N(5)}}})
		case <-gift.C:
			gift.Reset(around(botGiftEvery))
			err = b.sendGift(ctx, v)
		case sale := <-sales:
			sleep(ctx, rand.N(botThinks))
			err = b.buy(ctx, v, sale)
		}
		if err != nil {
			return err
		}
	}
}

// botTimer fires first at any moment of its period, so that bots do not act in step.
func botTimer(period time.Duration) *time.Timer { return time.NewTimer(rand.N(period)) }

func around(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sendGift sends a small gift, and tops up first when there are no beans left.
func (b *bot) sendGift(ctx context.Context, v *loadtest.Viewer) error {
	cmd := &proto.GiftSend{GiftId: b.gifts[rand.N(len(b.gifts))], Count: 1 + rand.Int32N(3)}
	for range 2 {
		reply, err := v.Do(ctx, &proto.Command{Command: &proto.Command_GiftSend{GiftSend: cmd}})
		if err != nil {
			return err
		}
		if reply.GetError().GetReason() != string(proto.ReasonInsufficientBeans) {
			return nil
		}
		if err := b.topUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// buy tries for one piece, and pays for it three times out of four.
func (b *bot) buy(ctx context.Context, v *loadtest.Viewer, saleID string) error {
	reply, err := v.Do(ctx, &proto.Command{Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: saleID, Quantity: 1}}})
	order := reply.GetOk().GetOrder()
	if err != nil || order == nil || rand.N(4) == 0 {
		return err
	}
	reply, err = v.Do(ctx, &proto.Command{Command: &proto.Command_OrderPay{OrderPay: &proto.OrderPay{OrderId: order.Id}}})
	if payment := reply.GetOk().GetPayment(); err == nil && payment != nil {
		err = b.post(ctx, payment.Url, nil, nil)
	}
	return err
}

// readGifts learns which gifts a bot can afford.
func (b *bot) readGifts(ctx context.Context) error {
	if b.gifts != nil {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, "GET", b.gateway.URL+"/v1/gifts", nil)
	if err != nil {
		return err
	}
	var page struct {
		Gifts []struct {
			ID   string `json:"id"`
			Tier int    `json:"tier"`
		} `json:"gifts"`
	}
	if err := b.do(req, &page); err != nil {
		return err
	}
	for _, g := range page.Gifts {
		if g.Tier == 1 {
			b.gifts = append(b.gifts, g.ID)
		}
	}
	if len(b.gifts) == 0 {
		return fmt.Errorf("the gift catalogue has nothing small")
	}
	return nil
}

func (b *bot) topUp(ctx context.Context) error {
	var made struct {
		URL string `json:"url"`
	}
	if err := b.post(ctx, b.gateway.URL+"/v1/topups", map[string]int{"beans": botBeans}, &made); err != nil {
		return err
	}
	return b.post(ctx, made.URL, nil, nil)
}

func (b *bot) post(ctx context.Context, url string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, "POST", url, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", loadtest.NewRequestID())
	return b.do(req, out)
}

func (b *bot) do(req *http.Request, out any) error {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
