package session

import (
	"log/slog"
	"net"
	"net/http"
)

// HandshakeListener returns a listener for an [http.Server] that keeps one kind of l's connections to
// itself: those that begin with a whole WebSocket handshake. handler, which should be the server's own,
// answers them without what net/http has for each connection, two goroutines, two buffers and some timers
// among it; and as their descriptors were never with Go's poller, a [Gateway] takes them as they are.
// Whatever is unusual in any way goes to the server: other requests, handshakes of over 4 KiB, those that do
// not come in one piece, or with something behind them. So slow and strange clients are net/http's alone.
//
// For handler it is nearly as with net/http. Its answer is kept until it returns, and closes the connection. The
// request's context knows neither the server nor the local address, and ends when the client has gone, which is
// seen within 100 ms, after 30 s, and when l is closed; a handler must end by it, as Accept waits for all of
// them before it returns the end of l. In the two last cases [context.Cause] is a [proto.Problem] for the client.
// A nil log discards.
//
// Elsewhere than on Linux, and where l is not a [net.TCPListener], it returns l. It is not for a server that
// speaks TLS itself: handshakes in plain text would be answered.
func HandshakeListener(l net.Listener, handler http.Handler, log *slog.Logger) (net.Listener, error) {
	return listenForHandshakes(l, handler, log)
}
