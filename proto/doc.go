// Package proto is livecart's wire schema: the public protocol livecart.v1 between clients and
// gateways, the private envelopes livecart.bus.v1 between livecart's own processes, their
// generated Go, and the two codecs that clients may choose by WebSocket subprotocol:
//
//	livecart.v1.proto   binary protobuf
//	livecart.v1.json    protobuf JSON with the field names of the .proto files
//
// One WebSocket message is one frame. A client's frame holds at most [MaxClientFrame] bytes and
// [MaxCommands] commands; [DecodeClient] refuses more. Unknown fields are ignored in both formats,
// so older servers understand newer clients.
//
// What went wrong is told by a [Problem] with a stable [Reason]; the table of reasons is the whole
// vocabulary of refusals in livecart.
//
// The generated files are committed and never edited; go generate ./proto makes them again.
package proto
