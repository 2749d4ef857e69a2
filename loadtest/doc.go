// Package loadtest plays a crowd of viewers against a livecart room and proves afterwards that
// nothing was lost, doubled or oversold.
//
// A [Scenario] lets [Viewer]s act: each is one WebSocket connection that keeps a [History] of what
// it was told. When the crowd is done, checks compare the histories with one another, with the
// server's own answers and, where the database may be read, with Postgres. A run returns a
// [Result]; it passed only when every check held.
//
// A [Swarm] holds very many viewers without a goroutine or a history each, for [Fanout] and wherever
// counts are enough.
//
// Most scenarios are files: see scenarios/*.yaml, and [Scenario] for what each field means and its
// limits. In a size and length of its own a [Scenario] is a [Plan]; with a seed that is a [Schedule],
// fixed before the run, which a [Pacer] hands out, and [Play] does both and checks. Scenarios that no
// schedule describes are types of their own, as [Smoke] is.
//
// A [Recorder] keeps what clients asked and were told, a [Record] a line; [ReadRecords] reads such a
// history file and [CheckRecords] compares it with Postgres, whoever wrote it.
//
// The package speaks the public protocol alone and knows nothing of the server's inside but the
// names of the tables that its checks read.
package loadtest
