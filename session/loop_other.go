//go:build !linux

package session

// loop is for Linux; elsewhere every socket has goroutines of its own.
type loop struct{}

func newLoop(*shard) (*loop, error) { return nil, nil }

func (*loop) run() error { return nil }
func (*loop) stop()      {}
func (*loop) flush()     {}

func (*loop) adopt(*Conn, *wire) bool { return false }
