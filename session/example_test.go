package session_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"livecart/session"
)

func ExampleMintToken() {
	secret := []byte("a secret of at least thirty-two bytes")
	key, err := session.SecretKey(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := session.MintToken(key, session.Claims{
		Subject: "u_42", Name: "Ann", Role: "host", Rooms: session.RoomList{"demo"}, Shop: "shop_1",
	}.Until(time.Now().Add(time.Hour)))
	if err != nil {
		fmt.Println(err)
		return
	}

	dir, err := os.MkdirTemp("", "key")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "jwt.key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		fmt.Println(err)
		return
	}
	tickets, err := session.NewTickets(session.TicketConfig{KeyFile: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := tickets.Verify(context.Background(), token)
	fmt.Println(v.Name, v.Role, v.MayEnter("demo"), v.MayEnter("other"), err)
	// Output: Ann ROLE_HOST true false <nil>
}
