// Package chat owns the comments of a room: what may be said, how often, by whom, what is pinned and
// what was taken back.
//
// # Promises
//
// A comment is cleaned (see [Clean]), checked against the room's phase, settings and sanctions, then
// counted by one Redis script over all gateways, then published to the room and kept among its recent
// ones. It is a hint: gateways may sample it under load, and it is lost with Redis. Sent again under
// the same request id within 60 s it is answered with the same comment and not said twice.
//
// Settings, pins, deletions and sanctions are state in Postgres and numbered events of the room,
// written in one transaction and published after it. A gateway other than the one that took the
// change acts on it within a quarter of a second, and no comment is refused because of something that
// was undone before it was sent.
//
// Host, moderators, operators and bots are exempt from the rate, duplicates, slow mode and a closed
// chat; sanctions and blocked terms hold for everyone.
//
// # When a part is away
//
// Without Redis comments flow on. A limit of the same rules holds on each gateway by itself,
// livecart_degraded{part="chat_limit"} is 1, and comments of that time are not among the recent ones.
// Without Postgres comments flow in rooms that this gateway knows, under what it knew last; moderation
// fails.
//
// # Keys, subjects, tables
//
//	{u:<user hash>}:chat:rate                  list: times of the last comments, newest first
//	{u:<user hash>}:chat:said:<room>:<hash>    time of a comment with this text
//	{u:<user hash>}:chat:slow:<room>           time of the last comment in a room with slow mode
//	{u:<user hash>}:chat:request:<hash>        content hash and comment of a request id
//	{r:<room>}:comments                        list: recent comments as livecart.v1.ChatMessage, newest last
//
// Times in Redis are Unix milliseconds of its own clock. Events go to the room's subject through
// [livecart/session/bus]. Tables: chat_room, chat_deletion, chat_sanction.
package chat
