package main

import (
	"errors"
	"fmt"
	"time"

	"livecart/session"
)

// tokenCommand mints a token with the key that signs them.
type tokenCommand struct {
	KeyFile string        `name:"jwt-key-file" env:"LIVECART_JWT_KEY_FILE" help:"HMAC secret or PEM private key." type:"existingfile" required:"" placeholder:"FILE"`
	User    string        `arg:"" help:"The user's id: any text of at most 128 bytes."`
	Name    string        `help:"What others see; the id when empty."`
	Role    string        `help:"viewer, moderator, host, bot or operator." default:"viewer"`
	Rooms   []string      `help:"Rooms that it opens, * for all." default:"*"`
	Shop    string        `help:"Shop that a host sells for."`
	Source  string        `help:"Attribution: where the viewer came from."`
	Guide   string        `help:"Attribution: who brought the viewer."`
	For     time.Duration `help:"How long it is good for." default:"24h"`
}

// Run prints the token alone, for use in scripts.
func (c *tokenCommand) Run() error {
	if c.For <= 0 {
		return errors.New("token: --for must be above 0")
	}
	key, err := session.LoadSigningKey(c.KeyFile)
	if err != nil {
		return err
	}
	claims := session.Claims{Subject: c.User, Name: c.Name, Role: c.Role, Rooms: c.Rooms, Shop: c.Shop, Source: c.Source, Guide: c.Guide}
	token, err := session.MintToken(key, claims.Until(time.Now().Add(c.For)))
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}
