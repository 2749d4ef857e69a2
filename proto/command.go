package proto

import "google.golang.org/protobuf/reflect/protoreflect"

// Kind returns the name of the command's kind as in the schema ("chat_send"), or "" for one that
// this version does not know.
func (c *Command) Kind() string { return oneofName(c.ProtoReflect(), "command") }

// Kind returns the name of the event's kind as in the schema ("chat_message"), or "".
func (e *Event) Kind() string { return oneofName(e.ProtoReflect(), "event") }

func oneofName(m protoreflect.Message, oneof protoreflect.Name) string {
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName(oneof))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

// roleWords are the names of roles in tokens and settings.
var roleWords = map[string]Role{
	"viewer":    Role_ROLE_VIEWER,
	"moderator": Role_ROLE_MODERATOR,
	"host":      Role_ROLE_HOST,
	"bot":       Role_ROLE_BOT,
	"operator":  Role_ROLE_OPERATOR,
}

// ParseRole returns the role of a token's word.
func ParseRole(word string) (Role, bool) {
	r, ok := roleWords[word]
	return r, ok
}

// Word returns the role's name in tokens, "" for an unspecified one.
func (r Role) Word() string {
	for word, role := range roleWords {
		if role == r {
			return word
		}
	}
	return ""
}

// Moderates reports whether the role may delete, pin and sanction.
func (r Role) Moderates() bool {
	return r == Role_ROLE_MODERATOR || r == Role_ROLE_HOST || r == Role_ROLE_OPERATOR
}

// Hosts reports whether the role may steer the room, its shelf and its sales.
func (r Role) Hosts() bool { return r == Role_ROLE_HOST || r == Role_ROLE_OPERATOR }
