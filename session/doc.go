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
// within one flush. Comments are sampled once a flush, down to what a person can read, and each frame
// says in sampled how many were left out; those of host and moderators and the pinned one stay first,
// then those of viewers who gave a gift or paid for an order since the room was opened here. Whose
// comment it is has it in the reply. Every comment that came here is either in the frame or in that
// count, for each viewer alike, whenever it joined; one that NATS lost is nowhere but in the history.
//
// A viewer whose socket is full loses comments first, a whole flush at a time, and is told in skipped
// how many. What may not be dropped waits for it: when that is more than its queue holds (256 KiB by
// default), when one message could not be written for WriteTimeout, or when all viewers who are behind
// have more than BacklogBytes waiting, it is closed with 4008. It never holds up another viewer.
//
// # Fan-out
//
// A room is open on a gateway while it has viewers there and for some seconds after. Its events
// gather in a batch: one that finds the room idle, a numbered event and a big gift are flushed at
// once, everything else with the room's tick. A flush is encoded once a format and its bytes are
// shared by all connections. The room's snapshot changes in the same critical section, so that a new
// viewer's welcome fits exactly what follows.
//
// From 1,000 viewers on, a busy room's viewers are eight sections that take turns over the tick, each
// with all that came since its own last turn. So the load is even, and nobody waits for a walk
// through the whole room: where that takes longer than the tick, a comment is late by one round
// instead of two. What does not wait for the tick goes to all sections together.
//
// Connections belong to shards, one a processor. A room hands a flush to each shard once; the shard
// walks its own rows of the room's connections with bare writes that never block. Nothing is handed
// over for each connection, so a flush costs one send a viewer and next to nothing else. Every 2 ms
// the shard has Go's poller look at all other sockets, which the scheduler does only every 10 ms or later
// while something can run: what the next flush is made of comes through them. While the
// shards are not through with a flush the room gathers the next one, whatever its tick: a gateway
// that has too much to do sends fewer, larger frames, later, and piles nothing up.
//
// On Linux 5.19 and later the sends to 64 viewers are one call of io_uring(7), which spares the way into
// the kernel and out of it. With 10,000 viewers a CPU-second delivered 1.05 to 1.12 times as much by that
// on a machine whose empty system call takes 0.3 us, 1.3 to 1.45 times as much where it takes 1 us. Where
// io_uring is forbidden, as in most containers, or not wanted ([GatewayConfig.NoIOUring]), each send is a
// sendto(2).
//
// On Linux a connection has no goroutine and no buffer of its own. A [HandshakeListener] answers nearly all
// handshakes, and Go's poller never knows of their descriptors; those that come over net/http are taken from
// it after the upgrade. Each shard's loop reads all of its sockets with one goroutine, one buffer and one
// gorilla connection, which is fed whole messages only ([RFC 6455] fragments and partial frames wait in the
// connection, at most MessageTimeout). A descriptor is read, written and closed with the
// shard's lock held, so that none is used after another connection got its number. Elsewhere, and under TLS
// that ends here, two goroutines serve each socket, with the same tests.
//
// Pings, idle connections, ends of tokens and of patience are found by one sweep a shard.
//
// What is missing is read from Postgres beside the flushes: numbered events after 200 ms of waiting for
// an earlier one, or when the heads of all open rooms, read once a second, show a lost tail; the whole
// room and what belongs to its viewers after NATS may have lost anything.
//
// Locks are taken in the order hub, audience, roster, shard.
//
// # Limits
//
// [GatewayConfig] holds them with their defaults. What exceeds them is refused with its reason, by 503
// before the upgrade (connections, handshakes, joins a second), by a reply (commands: rate_limited and,
// while too many run, busy; flash_buy: rate_limited; session_resume on an open connection: rate_limited,
// from the second in a second on, and where the gateway has answered a tenth of JoinRate in one), or by
// the close of the connection:
//
//	1001 idle              silent for IdleTimeout
//	1002, 1007             against RFC 6455; a text that is not UTF-8
//	1008                   a message that took MessageTimeout to come, or came in too many fragments; or
//	                       65 control frames at once. The loop's alone: under TLS a message may take its
//	                       time, even if only half a header of it came, until the connection is idle
//	1008 memory            messages that have not come whole take more than 128 MiB on a shard
//	1009                   a message of more than 16 KiB
//	1011 internal          the welcome could not be made
//	1012 restart           drain
//	4001 token_expired     the token ended, announced by session_expiring 60 s before
//	4003 banned            a ban in this room
//	4008 slow_consumer     a full queue or backlog, or a message that could not be written in WriteTimeout
//	4009 replaced          the user's ninth connection closes the first
//	4029 rate_limited      10 s of excess commands, each message without one and each ping or pong frame counting
//	                       as a command
//
// A resume spans 500 numbered events and 64 KiB; a welcome has at most 16 KiB, 30 comments and 20
// entries of the shelf.
//
// # Drain
//
// When [Gateway.Run] is told to end, handshakes are refused with 503, each viewer gets
// session_reconnect with a moment of its own in the first half of the drain time, and is closed with
// 1012 a little after that, when its running commands have been answered.
//
// A gateway that can read a shard's sockets no more drains by itself: it is not ready from that moment,
// those of the shard, which could not be heard, are closed with 1012 at once, and Run returns the reason,
// for its process to be replaced.
//
// # Capacity
//
// What one room of 1.5 million viewers takes, from figures measured on a virtual machine with two slow
// cores (a bare write(2) to a loopback socket takes 11 us there, half of it the receiver's side, which a
// network card would spare; other machines did one in 5 us). The generator had the other core.
//
//	a flush for one viewer, 250 ms tick      17 us   10,000 viewers, 50 comments/s: 57,000 frames a CPU-second
//	the same with the core at its limit      15 us   65,000 frames a CPU-second, most of the time in sending
//	a join, anonymous; with an HS256 token   110 us; 145 us
//	memory of an idle viewer                 2.1 to 3.2 KiB, and 4 KiB of the kernel's
//	a comment of 120 bytes in NATS           212 bytes for each gateway (BenchmarkRoomBytes)
//
// Cores. Above 5,000 viewers a gateway writes four times a second to each, whatever is said in the room.
// 57,000 frames make 14,000 viewers a core at its limit; planned at a little less than 60 %, 8,000. So
// 1.5 million viewers take 188 cores: 24 gateways of 8 cores, 62,500 viewers each.
//
// Memory. 62,500 times 3.2 KiB are 200 MB, the kernel's sockets 250 MB, BacklogBytes and what the room
// itself needs another 300 MB: 1 GiB a gateway.
//
// Joins. When everybody comes within a minute, seven of ten in the first third, each gateway has 2,200
// joins a second for 20 s: a third of a core, below JoinRate. When a gateway dies its 62,500 viewers come
// to the 23 others, 2,700 each; the clients spread themselves over seconds, and JoinRate bounds the rest.
//
// Network. 20 comments a second of 190 bytes are 4 kB/s a viewer: 2 Gbit/s a gateway. This is the first
// limit that a small machine meets; sending fewer comments is LIVECART_CHAT_PER_VIEWER.
//
// NATS. 0.6 comments a second for 1,000 viewers are 900 a second, 5,400 in a burst. They go to each
// gateway once, however many viewers it has: 1.1 MB/s into each, 27 MB/s out of the cluster. A server
// without gateways of the room gets nothing.
//
// Redis. A gateway calls once a second for each of its rooms and once for each flush of likes; a comment is
// one script call, pipelined: some 6,000 calls a second in a burst, all of a room in one slot, where one
// Redis does a hundred thousand. Postgres is asked for the heads of all open rooms once a second by
// each gateway, and for joiners' own things once in 20 ms.
//
// What limits a single room beyond this is none of the gateways, which know nothing of one another, but
// the one NATS subject: its messages pass each server of the cluster once.
//
// # Keys, subjects and tables
//
// Redis, for seven days after the last viewer, all lost without harm:
//
//	{r:<room>}:likes    hash, part of a gateway -> its likes
//	{r:<room>}:visits   hash, part of a gateway -> its visits
//	{r:<room>}:online   hash, part of a gateway -> its connections and when it said so
//	{r:<room>}:unique   HyperLogLog of viewers
//	{r:<room>}:counter  hash: epoch, peak, floor and lower bound of unique
//	{r:<room>}:host     exists while a host is connected
//
// NATS, by package bus: <prefix>.room.<room> and <prefix>.private. Postgres: room, room_event (written by
// all packages through package store), room_counter (totals) and room_counter_part (each gateway's share,
// from which a lost Redis is filled again).
//
// [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
package session
