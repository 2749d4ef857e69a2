package stack

import "strings"

// Part tells of one server: what was chosen and why (Start), or what was found and how to get it (Probe).
type Part struct {
	Name    string `json:"name"`              // "NATS", "Redis", "Postgres"
	Choice  string `json:"choice"`            // "in-process", "redis-server on a unix socket", "given by REDIS_URL", …
	Version string `json:"version,omitempty"` // as the server or binary tells it
	Why     string `json:"why,omitempty"`     // the reason for the choice, in words
	Warning string `json:"warning,omitempty"` // a drawback the user should know of
	Found   bool   `json:"found"`             // whether the part can be had without installing anything
	Fix     string `json:"fix,omitempty"`     // what to do when it cannot, or to get the better choice
}

// String is the one line said about a part.
func (p Part) String() string {
	var line strings.Builder
	line.WriteString(p.Name + ": " + p.Choice)
	if p.Version != "" {
		line.WriteString(" (" + p.Version + ")")
	}
	if p.Why != "" {
		line.WriteString(", " + p.Why)
	}
	if p.Warning != "" {
		line.WriteString("; warning: " + p.Warning)
	}
	return line.String()
}
