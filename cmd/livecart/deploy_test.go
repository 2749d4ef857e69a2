package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// environment returns the variables that a command reads.
func environment(command reflect.Type) []string {
	var names []string
	for i := range command.NumField() {
		field := command.Field(i)
		if field.Anonymous {
			names = append(names, environment(field.Type)...)
		}
		if name := field.Tag.Get("env"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// deployed returns the file of deploy/ as text.
func deployed(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestComposeSetsWhatTheServiceReads(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]string
			Secrets     []string
			DependsOn   map[string]any `yaml:"depends_on"`
			Healthcheck map[string]any
		}
		Secrets, Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	want := []string{"gateway-1", "gateway-2", "ledger", "migrate", "nats", "postgres", "redis", "sandbox"}
	if got := slices.Sorted(maps.Keys(compose.Services)); !slices.Equal(got, want) {
		t.Errorf("the services are %v", got)
	}
	known := environment(reflect.TypeFor[serveCommand]())
	for name, s := range compose.Services {
		for dependency := range s.DependsOn {
			if _, ok := compose.Services[dependency]; !ok {
				t.Errorf("%s waits for %s", name, dependency)
			}
		}
		for _, secret := range s.Secrets {
			if compose.Secrets[secret] == nil {
				t.Errorf("%s needs the secret %s", name, secret)
			}
		}
		if s.Image != "livecart" {
			if s.Healthcheck == nil {
				t.Errorf("nobody looks after the health of %s", name)
			}
			continue
		}
		command := known
		if name == "sandbox" {
			command = environment(reflect.TypeFor[sandboxCommand]())
		}
		for variable := range s.Environment {
			if !slices.Contains(command, variable) {
				t.Errorf("%s sets %s, which its command does not read", name, variable)
			}
		}
		if s.Environment["LIVECART_WEBHOOK_SECRET_FILE"] == "" && name != "migrate" {
			t.Errorf("%s does not know the payment provider's secret", name)
		}
		if name == "sandbox" {
			continue
		}
		for _, server := range []string{"DATABASE_URL", "REDIS_URL", "NATS_URL"} {
			if s.Environment[server] == "" {
				t.Errorf("%s lacks %s", name, server)
			}
		}
		if gateway := slices.Contains(s.Command, "gateway"); gateway && s.Environment["LIVECART_JWT_KEY_FILE"] == "" {
			t.Errorf("%s has no key for tokens", name)
		}
	}
}

func TestUnitsSetWhatTheServiceReads(t *testing.T) {
	known := environment(reflect.TypeFor[serveCommand]())
	for _, name := range []string{"livecart.env", "livecart@.service", "livecart-migrate.service", "Containerfile"} {
		for line := range strings.Lines(deployed(t, name)) {
			line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "Environment="), "ENV ")
			variable, _, set := strings.Cut(line, "=")
			if !set || strings.ToUpper(variable) != variable || strings.ContainsAny(variable, " #-") {
				continue
			}
			if !slices.Contains(known, variable) {
				t.Errorf("%s sets %s, which serve does not read", name, variable)
			}
		}
	}
}
