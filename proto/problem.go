package proto

import (
	"errors"
	"fmt"
	"time"
)

// Problem is an error that a client may be told as it stands. Every other error reaches clients
// only as [ReasonInternal].
//
// Packages declare their plain refusals once as variables (chat.ErrMuted) and compare them with
// errors.Is, which looks at the reason alone.
type Problem struct {
	Reason  Reason
	Message string
	// RetryAfter is how long to wait before asking again, 0 where waiting does not help.
	RetryAfter time.Duration
}

// Refuse returns a Problem with a formatted message.
func Refuse(reason Reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// After returns a copy that tells the client to wait for d.
func (p *Problem) After(d time.Duration) *Problem {
	q := *p
	q.RetryAfter = d
	return &q
}

// Error returns the reason and the message.
func (p *Problem) Error() string {
	if p.Message == "" {
		return string(p.Reason)
	}
	return string(p.Reason) + ": " + p.Message
}

// Is reports whether target is a Problem of the same reason.
func (p *Problem) Is(target error) bool {
	q, ok := target.(*Problem)
	return ok && p.Reason == q.Reason
}

// Wire returns the Error message for err: a Problem's own words, or "internal" for anything else,
// so that no inner detail reaches a client.
func Wire(err error) *Error {
	var p *Problem
	if !errors.As(err, &p) {
		p = &Problem{Reason: ReasonInternal, Message: "something went wrong on our side"}
	}
	return &Error{
		Code:         int32(p.Reason.Code()),
		Reason:       string(p.Reason),
		Message:      p.Message,
		RetryAfterMs: p.RetryAfter.Milliseconds(),
	}
}
