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
// For handler it is as with net/http but for three things: the request's context ends after 30 s instead of
// with the connection and knows neither the server nor the local address, and any answer closes the
// connection. When l is closed, Accept returns after these handshakes are over.
//
// Elsewhere than on Linux, and where l is not a [net.TCPListener], it returns l.
func HandshakeListener(l net.Listener, handler http.Handler, log *slog.Logger) (net.Listener, error) {
	return listenForHandshakes(l, handler, log)
}
