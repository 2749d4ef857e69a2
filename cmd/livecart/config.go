package main

import (
	"encoding/json"
	"net/url"
	"os"
	"reflect"
	"strings"
)

// configCommand prints the settings that serve would use.
type configCommand struct {
	settings
}

// Run prints one JSON object that is itself a valid --config file, but for the masked secrets.
func (c *configCommand) Run() error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(masked(c.settings))
}

// masked returns the settings by flag name with underscores, as --config reads them, durations as text, with the password of every URL
// replaced.
func masked(s settings) map[string]any { return named(s, maskURLs) }

// named is masked with another hand at the URLs that hold secrets.
func named(s settings, urls func(string) string) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i).Interface()
		if text, ok := value.(interface{ String() string }); ok {
			value = text.String()
		}
		if field.Tag.Get("secret") == "url" {
			value = urls(value.(string))
		}
		out[strings.ReplaceAll(field.Tag.Get("name"), "-", "_")] = value
	}
	return out
}

// maskURLs hides the passwords in a list of URLs. What cannot be read as one is hidden whole.
func maskURLs(list string) string {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		if part == "" {
			continue
		}
		u, err := url.Parse(part)
		if err != nil || u.Scheme == "" {
			parts[i] = "xxxxx"
			continue
		}
		query := u.Query()
		for key := range query {
			if strings.Contains(strings.ToLower(key), "password") {
				query.Set(key, "xxxxx")
			}
		}
		u.RawQuery = query.Encode()
		if _, ok := u.User.Password(); u.User != nil && !ok && u.Scheme == "nats" {
			u.User = url.User("xxxxx") // a token stands where a user would
		}
		parts[i] = u.Redacted()
	}
	return strings.Join(parts, ",")
}
