package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"livecart/proto"
	"livecart/session"
)

// node is a mapping in one of the API's descriptions.
type node = map[string]any

func readDescription(t *testing.T, name string) node {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("api", name))
	if err != nil {
		t.Fatal(err)
	}
	var doc node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows names through mappings; what is not there is nil.
func at(doc any, path ...string) any {
	for _, name := range path {
		m, _ := doc.(node)
		doc = m[name]
	}
	return doc
}

func keys(doc any) []string {
	m, _ := doc.(node)
	return slices.Sorted(maps.Keys(m))
}

func TestEveryCommandHasARoute(t *testing.T) {
	gatewaysOwn := []string{"session_resume", "session_refresh", "ping", "like_send"}
	fields := new(proto.Command).ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	var want []string
	for i := range fields.Len() {
		if kind := string(fields.Get(i).Name()); !slices.Contains(gatewaysOwn, kind) {
			want = append(want, kind)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(commandRoutes(new(parts)))); !slices.Equal(got, want) {
		t.Errorf("routes lead\n%v\nof the commands\n%v", got, want)
	}
}

func TestCommandsAreOpenToTheRightRoles(t *testing.T) {
	access := map[session.Access][]string{
		session.Moderators: {"chat_configure", "chat_delete", "chat_pin", "user_sanction"},
		session.Hosts: {"flash_start", "flash_stop", "flash_update", "order_refund", "order_reprice", "order_ship", "product_push", "product_update",
			"room_end", "room_pause", "room_resume", "room_start"},
	}
	for kind, route := range commandRoutes(new(parts)) {
		want := session.SignedIn
		for a, kinds := range access {
			if slices.Contains(kinds, kind) {
				want = a
			}
		}
		if route.Access != want {
			t.Errorf("%s has access %d, want %d", kind, route.Access, want)
		}
	}
}

// operation is an address of the API as both the table and the description know it.
type operation struct {
	keyed, anonymous bool
}

func TestOpenAPIListsWhatIsServed(t *testing.T) {
	served := map[string]operation{
		socketPattern: {anonymous: true},
		noticePattern: {anonymous: true},
	}
	for _, e := range apiEndpoints(new(parts)) {
		served[e.pattern] = operation{keyed: e.keyed, anonymous: e.access == session.Anyone}
	}
	doc := readDescription(t, "openapi.yaml")
	described := map[string]operation{}
	ids := map[string]string{}
	for _, path := range keys(at(doc, "paths")) {
		for _, method := range keys(at(doc, "paths", path)) {
			if method == "parameters" {
				continue
			}
			pattern := strings.ToUpper(method) + " " + path
			op := at(doc, "paths", path, method)
			described[pattern] = operation{keyed: needsKey(op), anonymous: openToAll(op)}
			id, _ := at(op, "operationId").(string)
			if id == "" || ids[id] != "" {
				t.Errorf("%s has the operationId %q, as has %q", pattern, id, ids[id])
			}
			ids[id] = pattern
			checkPathParameters(t, doc, path, pattern)
		}
	}
	for pattern, op := range served {
		if got, ok := described[pattern]; !ok {
			t.Errorf("%s is served and not described", pattern)
		} else if got != op {
			t.Errorf("%s is served with %+v and described with %+v", pattern, op, got)
		}
	}
	for pattern := range described {
		if _, ok := served[pattern]; !ok {
			t.Errorf("%s is described and not served", pattern)
		}
	}
}

func needsKey(op any) bool {
	params, _ := at(op, "parameters").([]any)
	return slices.ContainsFunc(params, func(p any) bool { return at(p, "$ref") == "#/components/parameters/Key" })
}

// openToAll reports whether the description lets askers without a token in.
func openToAll(op any) bool {
	m, _ := op.(node)
	ways, own := m["security"].([]any)
	return own && (len(ways) == 0 || slices.ContainsFunc(ways, func(way any) bool { return len(keys(way)) == 0 }))
}

func checkPathParameters(t *testing.T, doc node, path, pattern string) {
	t.Helper()
	var named []string
	params, _ := at(doc, "paths", path, "parameters").([]any)
	for _, p := range params {
		if ref, ok := at(p, "$ref").(string); ok {
			p = at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		named = append(named, "{"+at(p, "name").(string)+"}")
	}
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, "{") && !slices.Contains(named, part) {
			t.Errorf("%s does not describe %s", pattern, part)
		}
	}
}

func TestDescriptionsShowTheWholeSchema(t *testing.T) {
	open, async := readDescription(t, "openapi.yaml"), readDescription(t, "asyncapi.yaml")
	schemas := maps.Clone(at(open, "components", "schemas").(node))
	for name, schema := range at(async, "components", "schemas").(node) {
		if schemas[name] != nil {
			t.Errorf("%s is described twice", name)
		}
		schemas[name] = schema
	}
	seen := map[protoreflect.FullName]bool{}
	for _, m := range []proto.Message{new(proto.ClientFrame), new(proto.ServerFrame), new(proto.Gift), new(proto.RankingEntry)} {
		checkSchema(t, schemas, m.ProtoReflect().Descriptor(), seen)
	}
}

// checkSchema compares a message's fields with the properties of its schema, and then the messages
// that it holds.
func checkSchema(t *testing.T, schemas node, d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	t.Helper()
	if seen[d.FullName()] || d.IsMapEntry() {
		return
	}
	seen[d.FullName()] = true
	var want []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		want = append(want, string(f.Name()))
		if e := f.Enum(); e != nil {
			checkEnum(t, schemas, e)
		}
		if m := f.Message(); m != nil {
			checkSchema(t, schemas, m, seen)
		}
	}
	slices.Sort(want)
	schema, described := schemas[string(d.Name())]
	if got := keys(at(schema, "properties")); !described || !slices.Equal(got, want) {
		t.Errorf("%s is described with %v, its fields are %v", d.Name(), got, want)
	}
}

func checkEnum(t *testing.T, schemas node, e protoreflect.EnumDescriptor) {
	t.Helper()
	values, _ := at(schemas[string(e.Name())], "enum").([]any)
	for i := range e.Values().Len() {
		if name := string(e.Values().Get(i).Name()); !slices.Contains(values, any(name)) {
			t.Errorf("%s is described without %s", e.Name(), name)
		}
	}
}

func TestReferencesLeadSomewhere(t *testing.T) {
	docs := map[string]node{"openapi.yaml": readDescription(t, "openapi.yaml"), "asyncapi.yaml": readDescription(t, "asyncapi.yaml")}
	var follow func(name string, part any)
	follow = func(name string, part any) {
		switch part := part.(type) {
		case []any:
			for _, p := range part {
				follow(name, p)
			}
		case node:
			if ref, ok := part["$ref"].(string); ok {
				file, path, _ := strings.Cut(ref, "#/")
				if file = strings.TrimPrefix(file, "./"); file == "" {
					file = name
				}
				steps := strings.Split(path, "/")
				for i, step := range steps {
					steps[i] = strings.ReplaceAll(step, "~1", "/")
				}
				if at(docs[file], steps...) == nil {
					t.Errorf("%s refers to %s", name, ref)
				}
			}
			for _, p := range part {
				follow(name, p)
			}
		}
	}
	for name, doc := range docs {
		follow(name, doc)
	}
}

func TestEveryReasonIsDescribed(t *testing.T) {
	described, _ := at(readDescription(t, "openapi.yaml"), "components", "schemas", "Reason", "enum").([]any)
	source, err := os.ReadFile(filepath.Join("..", "..", "proto", "reason.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(source)) {
		if _, word, ok := strings.Cut(line, "Reason = \""); ok {
			found++
			if word, _, _ = strings.Cut(word, `"`); !slices.Contains(described, any(word)) {
				t.Errorf("the reason %s is not described", word)
			}
		}
	}
	if found != len(described) {
		t.Errorf("%d reasons are described, there are %d", len(described), found)
	}
}

func TestAsyncAPITellsWhoGivesEachCommand(t *testing.T) {
	text, _ := at(readDescription(t, "asyncapi.yaml"), "info", "description").(string)
	fields := new(proto.Command).ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	for i := range fields.Len() {
		if kind := string(fields.Get(i).Name()); !strings.Contains(text, kind+" |") && !strings.Contains(text, kind+", ") {
			t.Errorf("the table of commands lacks %s", kind)
		}
	}
}
