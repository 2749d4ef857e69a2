package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Bounds of the HTTP servers. A WebSocket leaves them with its upgrade.
const (
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 5 * time.Second
	maxHeaderBytes    = 16 << 10
)

// httpServer returns the component that serves handler on listener until its context ends, and then
// lets running requests finish for at most five seconds.
func httpServer(name string, listener net.Listener, handler http.Handler, log *slog.Logger) component {
	return component{name, func(ctx context.Context) error {
		server := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       requestTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(&sayingListener{Listener: listener, log: log}) }() // ends with Shutdown or Close below
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(bounded); err != nil {
			server.Close()
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
}

// listenPair opens a public and an admin listener. While one of the two ports is taken, both move up
// by two, as the next gateway's pair lies there; say is told of each step. Port 0 takes any.
func listenPair(public, admin string, say func(string)) (net.Listener, net.Listener, error) {
	const most = 50
	for range most {
		p, err := net.Listen("tcp", public)
		if err == nil {
			var a net.Listener
			if a, err = net.Listen("tcp", admin); err == nil {
				return p, a, nil
			}
			p.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
		say(fmt.Sprintf("%v: trying the next pair of ports", err))
		if public, err = shiftPort(public, 2); err != nil {
			return nil, nil, err
		}
		if admin, err = shiftPort(admin, 2); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("listen: no free pair of ports up to %s and %s", public, admin)
}

// shiftPort returns addr with its port raised by n; port 0 stays.
func shiftPort(addr string, n int) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("address %q: the port is no number", addr)
	}
	if number == 0 {
		return addr, nil
	}
	if number += uint64(n); number > 65535 {
		return "", fmt.Errorf("address %q: no port is left above it", addr)
	}
	return net.JoinHostPort(host, strconv.FormatUint(number, 10)), nil
}
