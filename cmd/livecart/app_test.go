package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"livecart/loadtest"
	"livecart/proto"
	"livecart/session"
	"livecart/session/stack/stacktest"
)

// startDev runs livecart dev as the command line would, on free ports, and waits until it is ready.
// It ends with the test.
func startDev(t *testing.T, flags ...string) *readyInfo {
	t.Helper()
	return startDevIn(t, stacktest.DataDir(t), flags...).info
}

// runningDev is a dev that runs in this process.
type runningDev struct {
	info *readyInfo
	// stop ends it as Ctrl-C would and returns what it returned.
	stop func() error
}

func startDevIn(t *testing.T, data string, flags ...string) *runningDev {
	t.Helper()
	stacktest.Postgres(t, nil) // says or fails when there is none
	ready := filepath.Join(t.TempDir(), "ready.json")
	args := append([]string{"dev", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready, "--log-level", "WARN"}, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	var cli commands
	parser, err := kong.New(&cli, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	line, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	cli.Dev.out = io.Discard
	if cli.Dev.Processes {
		cli.Dev.program = livecartBinary(t)
	}
	done := make(chan struct{})
	var ended error
	go func() { // ends with stop
		defer close(done)
		ended = line.Run()
	}()
	p := &runningDev{stop: func() error {
		cancel()
		<-done
		return ended
	}}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("dev ended with %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if data, err := os.ReadFile(ready); err == nil {
			p.info = &readyInfo{file: ready}
			if err := json.Unmarshal(data, p.info); err != nil {
				t.Fatal(err)
			}
			return p
		}
		select {
		case <-done:
			t.Fatalf("dev ended before it was ready: %v", ended)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("dev was not ready within a minute")
		}
	}
}

// call does one HTTP request with a token and returns status and body.
func call(t *testing.T, method, url, token string, in any) (int, []byte) {
	t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Idempotency-Key", loadtest.NewRequestID())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, data
}

// mint returns a token of a dev's own key.
func mint(t *testing.T, info *readyInfo, c session.Claims) string {
	t.Helper()
	key, err := session.LoadSigningKey(info.JWTKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	token, err := session.MintToken(key, c.Until(time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// watch joins a room and hands every event to a channel.
func watch(t *testing.T, info *readyInfo, gateway int, token string) (*loadtest.Viewer, <-chan *proto.Event) {
	t.Helper()
	events := make(chan *proto.Event, 1000)
	v, err := loadtest.Join(t.Context(), loadtest.ViewerConfig{
		URL: info.Gateways[gateway].WS, Token: token, Format: proto.Format(gateway % proto.Formats), OnEvent: func(ev *proto.Event) { events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v, events
}

// await returns the first event that want accepts.
func await(t *testing.T, events <-chan *proto.Event, what string, want func(*proto.Event) bool) *proto.Event {
	t.Helper()
	timeout := time.After(15 * time.Second)
	for {
		select {
		case ev := <-events:
			if want(ev) {
				return ev
			}
		case <-timeout:
			t.Fatalf("%s did not come", what)
		}
	}
}

func TestDevIsALiveRoomOnTwoGateways(t *testing.T) {
	info := startDev(t)
	if len(info.Gateways) != 2 || info.Room != "demo" {
		t.Fatalf("ready: %+v", info)
	}
	viewer, _ := watch(t, info, 0, info.ViewerToken)
	_, anonymous := watch(t, info, 1, "")
	if phase := viewer.Welcome().GetRoom().GetPhase(); phase != proto.RoomPhase_ROOM_PHASE_LIVE {
		t.Errorf("the room is %v", phase)
	}
	if n := len(viewer.Welcome().GetShelf()); n != 8 {
		t.Errorf("%d products on the shelf, want 8", n)
	}
	status, body := call(t, "POST", info.Gateways[0].URL+"/v1/rooms/demo/comments", info.ViewerToken, map[string]string{"text": "hello"})
	if status != http.StatusCreated {
		t.Fatalf("comment: %d %s", status, body)
	}
	await(t, anonymous, "the comment on the other gateway", func(ev *proto.Event) bool { return ev.GetChatMessage().GetText() == "hello" })
	for _, entry := range viewer.Welcome().GetShelf() {
		if status, _ := call(t, "GET", info.Gateways[0].URL+entry.ImageUrl, "", nil); status != http.StatusOK {
			t.Errorf("picture %s: %d", entry.ImageUrl, status)
		}
	}
	for _, g := range info.Gateways {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			if status, body := call(t, "GET", g.Admin+path, "", nil); status != http.StatusOK || len(body) == 0 {
				t.Errorf("%s%s: %d", g.Admin, path, status)
			}
		}
	}
}

func TestDevKeepsItsDataAndRefusesASecond(t *testing.T) {
	data := stacktest.DataDir(t)
	first := startDevIn(t, data)
	if status, body := call(t, "POST", first.info.Gateways[0].URL+"/v1/topups", first.info.ViewerToken, map[string]int{"beans": 70}); status != http.StatusCreated {
		t.Fatalf("top-up: %d %s", status, body)
	} else {
		var made struct{ URL string }
		if err := json.Unmarshal(body, &made); err != nil {
			t.Fatal(err)
		}
		if status, body := call(t, "POST", made.URL, "", nil); status != http.StatusOK {
			t.Fatalf("pay: %d %s", status, body)
		}
	}
	balance := func(p *runningDev) (beans int64) {
		v, events := watch(t, p.info, 0, p.info.ViewerToken)
		defer v.Close()
		await(t, events, "the balance", func(ev *proto.Event) bool {
			beans = max(ev.GetSessionSelf().GetBalance(), ev.GetWalletBalance().GetBalance())
			return beans > demoBeans
		})
		return beans
	}
	if got := balance(first); got != demoBeans+70 {
		t.Fatalf("%d beans after the top-up", got)
	}

	second := devCommand{Data: data, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Gateways: 1, Roles: []string{"gateway", "ledger"}, out: io.Discard}
	if err := second.Run(t.Context()); err == nil || !bytes.Contains([]byte(err.Error()), fmt.Append(nil, os.Getpid())) {
		t.Errorf("a second dev on the same folder: %v", err)
	}

	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	again := startDevIn(t, data)
	if got := balance(again); got != demoBeans+70 {
		t.Errorf("%d beans after the restart", got)
	}
	if again.info.JWTKeyFile != first.info.JWTKeyFile {
		t.Error("the signing key moved")
	}
}

func TestDevOpensANewRoomAfterTheOldOneEnded(t *testing.T) {
	data := stacktest.DataDir(t)
	first := startDevIn(t, data)
	host, _ := watch(t, first.info, 0, first.info.HostToken)
	reply, err := host.Do(t.Context(), &proto.Command{Command: &proto.Command_RoomEnd{RoomEnd: &proto.RoomEnd{}}})
	if err != nil || reply.GetError() != nil {
		t.Fatal(reply, err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	again := startDevIn(t, data)
	if again.info.Room != "demo-2" {
		t.Errorf("room %q", again.info.Room)
	}
	viewer, _ := watch(t, again.info, 0, again.info.ViewerToken)
	if phase := viewer.Welcome().GetRoom().GetPhase(); phase != proto.RoomPhase_ROOM_PHASE_LIVE {
		t.Errorf("the new room is %v", phase)
	}
}

// decodeClaims reads what a token says without checking its signature.
func decodeClaims(token string, into any) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return
	}
	if data, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		json.Unmarshal(data, into)
	}
}
