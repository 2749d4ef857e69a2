package session

import "net"

// dialSmall connects with a small receive buffer, so that a client that does not read is soon felt.
func dialSmall(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetReadBuffer(4 << 10)
}
