// Package stack finds or starts the three servers livecart stands on: NATS, Redis and Postgres. It is what makes
// `livecart dev` one command, and its subpackage stacktest gives tests the same servers.
//
// What it promises:
//
//   - A URL given by the caller always wins; otherwise the server is started, private to this process. One line is said
//     for each choice, and a choice with a drawback carries a warning.
//   - Every server it starts ends with this process, even when the process is killed with SIGKILL: each runs under a
//     small shell (see guard.go) that waits on a pipe from us and ends the server when the pipe closes.
//   - Servers listen on unix sockets in folders only their owner may enter, or on loopback TCP. Nothing is reachable
//     from outside the machine.
//   - A data folder serves one process at a time. The lock is shared with the guards, so a new start after a crash waits
//     until the old servers have ended instead of fighting them.
//   - As root, servers run as the account "postgres" or "nobody" (Postgres refuses root). Where that account cannot
//     reach the data folder, server data goes below /var/lib/livecart, which is said aloud and remembered in the folder.
//
// Layout of a data folder: lock (the pid of its user), lock.servers (empty), servers (where server data went, if elsewhere), postgres/ and
// redis/ (server data), run/ (unix sockets), postgres.log and redis.log (of the current run).
//
// Apart from the data folder it writes fetched Postgres binaries to a cache (see pgnpm.go) and, where a socket path
// would be too long for the kernel, a temporary folder below /tmp that the guard removes.
package stack
