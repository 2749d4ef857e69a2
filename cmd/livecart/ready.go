package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"livecart/session"
)

// demoTokenLife is how long the tokens that dev prints are good for.
const demoTokenLife = 7 * 24 * time.Hour

// readyGateway is one gateway's addresses.
type readyGateway struct {
	URL   string `json:"url"`
	WS    string `json:"ws"`
	Admin string `json:"admin"`
}

// readyProcess is one process beside dev.
type readyProcess struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"` // 0 while it does not run
	Program string `json:"program"`
}

// readyInfo is what dev tells once everything is ready, as text and in the ready file.
type readyInfo struct {
	Gateways       []readyGateway `json:"gateways"`
	Room           string         `json:"room"`
	HostToken      string         `json:"host_token"`
	ModeratorToken string         `json:"moderator_token"`
	ViewerToken    string         `json:"viewer_token"`
	HostURL        string         `json:"host_url"`
	ViewerURL      string         `json:"viewer_url"`
	DatabaseURL    string         `json:"database_url"`
	RedisURL       string         `json:"redis_url"`
	NATSURL        string         `json:"nats_url"`
	JWTKeyFile     string         `json:"jwt_key_file"`
	PID            int            `json:"pid"`
	// Processes are those that may be killed, with --processes; they come back with another number.
	Processes []readyProcess `json:"processes,omitempty"`

	file string
}

// describe collects addresses and mints the tokens of the demo's people.
func (c *devCommand) describe(d *devRoom) (*readyInfo, error) {
	info := &readyInfo{
		Gateways: []readyGateway{}, Room: d.id, DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL, NATSURL: c.NATSURL,
		JWTKeyFile: c.JWTKeyFile, PID: os.Getpid(), file: c.ReadyFile,
	}
	for i := range d.gateways {
		public := reachable(d.public[i].Addr())
		info.Gateways = append(info.Gateways, readyGateway{
			URL: "http://" + public, WS: "ws://" + public + "/v1/rooms/" + d.id + "/ws", Admin: "http://" + reachable(d.admin[i].Addr()),
		})
	}
	key, err := session.LoadSigningKey(c.JWTKeyFile)
	if err != nil {
		return nil, err
	}
	for _, person := range []struct {
		token  *string
		claims session.Claims
	}{
		{&info.HostToken, demoHost}, {&info.ModeratorToken, demoModerator}, {&info.ViewerToken, demoViewers[0]},
	} {
		if *person.token, err = session.MintToken(key, person.claims.Until(time.Now().Add(demoTokenLife))); err != nil {
			return nil, err
		}
	}
	if len(info.Gateways) > 0 {
		first, last := info.Gateways[0].URL, info.Gateways[len(info.Gateways)-1].URL
		info.HostURL = first + "/host/" + d.id + "#access_token=" + info.HostToken
		info.ViewerURL = last + "/rooms/" + d.id + "#access_token=" + info.ViewerToken
	}
	return info, nil
}

// reachable turns the address of a listener on all interfaces into one that a browser here can open.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}

// write puts the ready file in place at once, so that nobody reads half of it.
func (r *readyInfo) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".ready-*") // mode 0600
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// print tells a person what to click and what to type.
func (r *readyInfo) print(w io.Writer) {
	if len(r.Gateways) == 0 {
		fmt.Fprintln(w, "\nThe ledger is ready; no gateway runs here.")
		return
	}
	fmt.Fprintf(w, "\nThe room %q is live on %d gateways.\n", r.Room, len(r.Gateways))
	fmt.Fprintf(w, "\n  host    %s\n", r.HostURL)
	fmt.Fprintf(w, "  viewer  %s\n", r.ViewerURL)
	for _, g := range r.Gateways {
		fmt.Fprintf(w, "  admin   %s/metrics\n", g.Admin)
	}
	fmt.Fprintf(w, "\nPost a comment:\n\n  curl -d '{\"text\":\"hello\"}' -H 'Content-Type: application/json' -H 'Authorization: Bearer %s' %s/v1/rooms/%s/comments\n",
		r.ViewerToken, r.Gateways[0].URL, r.Room)
	if r.file != "" {
		fmt.Fprintf(w, "\nRun a crowd against it:\n\n  go run ./cmd/loadtest run smoke --ready-file %s\n", r.file)
	} else {
		fmt.Fprintf(w, "\nRun a crowd against it (start dev with --ready-file r.json):\n\n  go run ./cmd/loadtest run smoke --ready-file r.json\n")
	}
	fmt.Fprintln(w, "\nCtrl-C ends everything; the data stays.")
}
