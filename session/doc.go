// Package session is the live room: who may enter it, who is in it, and how everything that happens
// there reaches every viewer.
//
// # Rooms
//
// [Rooms] own a room's description and lifecycle, [Presence] its figures, [HostWatch] pauses and
// ends what its host has left, [Tickets] say who a viewer is. A [Gateway] serves the connections.
// Gateways know nothing of one another: events come to each over NATS, figures are sums in Redis.
//
// # What a viewer is promised
//
//   - The first event of a connection is session_welcome: the room as of one moment, or, with
//     ?after_seq=N, the numbered events that were missed. Nothing that happens after that moment is
//     missing from what follows, and nothing of before comes again.
//   - Numbered events come in order, each once, without gaps. One whose hint was lost comes about a
//     second late, from Postgres.
//   - Room events of one frame stand in the order in which they happened. No order holds between
//     room events and private ones.
//   - Private events and session_self come to all connections of the user, in the room that the
//     event names or in all. What NATS lost while it was away is told by a new session_self.
//   - Replies come to the connection that asked, by request_id. A command that was begun is finished
//     even when its connection drops; asking again under the same request_id gets the answer.
//
// # What a viewer may miss
//
// Events have a [Class]. State and gifts are never dropped. Counters are replaced by later ones
// within one flush. Comments are sampled once a room and flush, down to what a person can read, and
// each frame says in sampled how many were left out; those of host and moderators and the pinned one
// stay first. Every comment is either in the frame or in that count.
//
// A viewer that reads slowly loses comments first, a whole flush at a time, and is told in skipped
// how many. When its queue (256 KiB by default) is full of what may not be dropped, it is closed
// with 4008. It never holds up another viewer.
//
// # Fan-out
//
// A room is open on a gateway while it has viewers there and for some seconds after. Its events
// gather in a batch: one that finds the room idle, a numbered event and a big gift are flushed at
// once, everything else with the room's tick. A flush is encoded once a format and its bytes are
// shared by all connections. The room's snapshot changes in the same critical section, so that a new
// viewer's welcome fits exactly what follows.
//
// Locks are taken in the order hub, audience, queue.
//
// # Drain
//
// When [Gateway.Run] is told to end, handshakes are refused with 503, each viewer gets
// session_reconnect with a moment of its own in the first half of the drain time, and is closed with
// 1012 a little after that, when its running commands have been answered.
//
// # Keys, subjects and tables
//
// Redis: {r:<room>}:… for figures, see presence. NATS: <prefix>.room.<room> and <prefix>.private, by
// package bus. Postgres: room, room_event, room_counter.
package session
