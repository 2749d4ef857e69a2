package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse reads a command line as main does, without running it.
func parse(t *testing.T, args ...string) (*commands, error) {
	t.Helper()
	var cli commands
	parser, err := kong.New(&cli, kong.Configuration(readSettingsFile), kong.Exit(func(int) { t.Fatal("the parser wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &cli, err
}

func TestSettingsRiseFromFileToEnvironmentToFlag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "livecart.json")
	if err := os.WriteFile(file, []byte(`{"room_tick": "70ms", "chat_per_viewer": 5, "nats_prefix": "shop", "allowed_origins": ["https://a.example"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LIVECART_CHAT_PER_VIEWER", "6")
	t.Setenv("LIVECART_NATS_PREFIX", "env")
	cli, err := parse(t, "--config", file, "config", "--nats-prefix", "flag")
	if err != nil {
		t.Fatal(err)
	}
	got := cli.Config.settings
	if got.RoomTick != 70*time.Millisecond || got.ChatPerViewer != 6 || got.NATSPrefix != "flag" || len(got.AllowedOrigins) != 1 {
		t.Errorf("got tick %v, chat %d, prefix %q, origins %v", got.RoomTick, got.ChatPerViewer, got.NATSPrefix, got.AllowedOrigins)
	}
}

// TestConfigPrintsWhatConfigReads holds that the output of livecart config is a settings file.
func TestConfigPrintsWhatConfigReads(t *testing.T) {
	cli, err := parse(t, "config", "--room-tick", "70ms", "--host-gone-pause=-1s", "--allowed-origins", "https://a.example,https://b.example", "--log-level", "WARN")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(masked(cli.Config.settings))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "livecart.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := parse(t, "--config", file, "config")
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	first, _ := json.Marshal(cli.Config.settings)
	second, _ := json.Marshal(again.Config.settings)
	if string(first) != string(second) {
		t.Errorf("printed %s\n  read %s", first, second)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"password", "postgres://shop:hunter2@db/livecart", "postgres://shop:xxxxx@db/livecart"},
		{"password in the query", "postgres://db/livecart?password=hunter2&sslmode=require", "postgres://db/livecart?password=xxxxx&sslmode=require"},
		{"several addresses", "nats://a:hunter2@n1:4222,nats://a:hunter2@n2:4222", "nats://a:xxxxx@n1:4222,nats://a:xxxxx@n2:4222"},
		{"token as user", "nats://hunter2@n1:4222", "nats://xxxxx@n1:4222"},
		{"no url", "host=db password=hunter2", "xxxxx"},
		{"nothing secret", "unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=0"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := maskURLs(tt.url)
			if got != tt.want || strings.Contains(got, "hunter2") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestServeSaysWhatItNeeds(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no servers", []string{"serve"}, "DATABASE_URL"},
		{"no key", []string{"serve", "--database-url=postgres://x", "--redis-url=redis://x", "--nats-url=nats://x"}, "LIVECART_JWT_KEY_FILE"},
		{"unknown role", []string{"serve", "--roles=king"}, `"king"`},
		{"no role", []string{"serve", "--roles="}, "gateway, ledger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"DATABASE_URL", "REDIS_URL", "NATS_URL", "LIVECART_JWT_KEY_FILE", "LIVECART_JWKS_URL"} {
				t.Setenv(name, "")
			}
			cli, err := parse(t, tt.args...)
			if err == nil {
				err = cli.Serve.Run(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a word of %s", err, tt.want)
			}
		})
	}
}

func TestSettingsFileIsRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown name", `{"room_tock": "70ms"}`, "room_tock"},
		{"no JSON", `room_tick: 70ms`, "invalid character"},
		{"wrong type", `{"chat_per_viewer": "many"}`, "chat-per-viewer"},
		{"no unit", `{"room_tick": "70"}`, "room-tick"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "livecart.json")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := parse(t, "--config", file, "config"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a word of %s", err, tt.want)
			}
		})
	}
}
