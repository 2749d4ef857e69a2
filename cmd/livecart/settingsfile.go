package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// settingsFile is the --config file. It stands below the environment, which kong's own reader would
// put it above, and a name in it that no command knows is an error.
type settingsFile struct {
	kong.Resolver
	names []string
}

// readSettingsFile is a kong.ConfigurationLoader.
func readSettingsFile(r io.Reader) (kong.Resolver, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	plain, err := kong.JSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	return &settingsFile{Resolver: plain, names: slices.Sorted(maps.Keys(values))}, nil
}

// Validate implements kong.Resolver.
func (f *settingsFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, command := range app.Leaves(false) {
		for _, group := range command.AllFlags(false) {
			for _, flag := range group {
				known[strings.ReplaceAll(flag.Name, "-", "_")] = true
			}
		}
	}
	for _, name := range f.names {
		if !known[name] {
			return fmt.Errorf("settings file: there is no setting %q", name)
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (f *settingsFile) Resolve(context *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	return f.Resolver.Resolve(context, parent, flag)
}
