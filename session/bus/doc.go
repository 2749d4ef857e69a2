// Package bus is livecart's own traffic over NATS. It owns every subject:
//
//	<prefix>.room.<room>     RoomEvents: hints to every gateway that has viewers of the room
//	<prefix>.private         PrivateEvents: for single users, to every gateway
//	<prefix>.ledger.<kind>   requests to one worker of the queue group "ledger"
//
// Nothing here is stored or sent twice: what must not be lost has its truth in Postgres and heals
// from there, and a request whose answer is lost is asked again under its key. Messages of one
// publisher on one subject arrive in order; no order holds between subjects.
//
// While NATS is away publishing fails once the client's buffer (8 MiB) is full, requests fail at
// once with [ErrDisconnected], and subscriptions come back by themselves. What was published to them
// meanwhile is lost; [Bus.Losses] tells that there may be something to read anew.
package bus
