package main

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/cart"
	"livecart/chat"
	"livecart/gift"
	"livecart/session"
)

// parts are what the routes of one gateway lead to.
type parts struct {
	pool     *pgxpool.Pool
	tickets  *session.Tickets
	rooms    *session.Rooms
	presence *session.Presence
	gateway  *session.Gateway
	chat     *chat.Chat
	gifts    *gift.Gifts
	cart     *cart.Cart
	// origins are the pages of other sites that may use the API.
	origins session.Origins

	// webhookSecret verifies payment notices; empty where there is no provider.
	webhookSecret string
	log           *slog.Logger
}
