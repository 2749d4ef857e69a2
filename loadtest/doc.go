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
// Where one machine is not enough, an [Agent] on each plays a part of the viewers of a [Play] or [Fanout]
// that begins elsewhere, see [Agents]; they meet at a NATS.
//
// A [Recorder] keeps what clients asked and were told, a [Record] a line; [ReadRecords] reads such a
// history file and [CheckRecords] compares it with Postgres, whoever wrote it.
//
// # What is checked
//
// What a scenario's run checks, by the names that results have. Each is named with the test in which a server
// that breaks it is found out; watchers are the regulars of the room, but for givers who lose connections.
//
//   - all_joined: every handshake of those who come and go brought a welcome (TestPlayFindsWhatIsBroken).
//   - outcomes_known: every command has an outcome; without, checks that would need it are left out
//     (TestPlayFindsWhatIsBroken).
//   - commands_accepted: not all comments, likes or gifts were refused (TestPlayFindsWhatIsBroken).
//   - visitors_stayed, watchers_stayed: the server cut nobody off (TestPlayFindsWhatIsBroken), or, with
//     reconnect, came_back: everybody came back (TestWhoDoesNotComeBackIsTold).
//   - comments_accounted: every watcher, in the room from before the first comment to after the last, got each
//     once, or as many fewer as sampled and skipped count (TestPlayFindsWhatIsBroken).
//   - likes_exact, viewers_exact, visits_exact: when all is quiet the room's counters rose by the likes that
//     were acknowledged and the connections that were welcomed, and it counts who is there
//     (TestPlayFindsWhatIsBroken). There is no other counter of popularity: peak and unique are not compared.
//   - tips_told_once: every watcher was told of each tip once (TestBrokenServerDoublesOneTip).
//   - balances_add_up: each giver has what was topped up less what was given (TestBrokenServerDoublesOneTip).
//   - one_key_one_outcome: a command that was sent again has the same outcome (TestBrokenServerDoublesOneTip).
//   - sale_sold_exactly: with more demand than pieces all are sold, and not one more, to nobody more than the
//     limit, and all watchers know (TestBrokenServerOversellsByOne).
//   - nobody_served_early: no order is of before the start (TestPlayFindsWhatIsBroken).
//   - orders_found_by_key: each order is found by its key, paid where that was told (TestPlayFindsWhatIsBroken).
//   - host_told_once: every watcher was told of each thing that the host did as often as it was done
//     (TestPlayFindsWhatIsBroken).
//   - events_gapless: the numbered events of every watcher rise by one up to the newest
//     (TestBrokenServerDropsOneDurableEvent).
//   - visitors_gapless: so do those of who comes and goes, while they are there
//     (TestBrokenServerDropsOneDurableEvent).
//   - resumed_gapless: who came back got every numbered event since then, up to that of the welcome
//     (TestBrokenServerForgetsOneDurableEventOnResume).
//   - orders_recorded_once, tips_recorded_once: orders and tips in Postgres are the acknowledged ones, each
//     once, no more pieces than the sale had (TestRecordChecksTurnRed).
//   - audit: the server's own invariants hold (TestRecordsAreRead).
//
// [Rooms], which plays many rooms, checks these instead:
//
//   - viewers_stayed: the server cut nobody off (TestRoomsThatLoseTheirViewers).
//   - outcomes_known: every comment has an outcome; without, comments_accounted_by_room is left out
//     (TestRoomsFindACommentWithoutAnswer).
//   - rooms_separate: no comment came to a viewer of another room (TestRoomsFindWhatIsBroken).
//   - comments_accounted_by_room: every viewer got each comment of the own room once, or as many fewer as sampled
//     and skipped count (TestRoomsFindWhatIsBroken).
//
// What a saved history is checked for is in [RecordChecks] (TestRecordedHistoryTurnsRed). A server whose
// replies wait in a queue is found out by latencies, which count from the scheduled times
// (TestBrokenServerQueuesReplies).
//
// The package speaks the public protocol alone and knows nothing of the server's inside but the
// names of the tables that its checks read.
package loadtest
