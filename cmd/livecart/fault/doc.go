// Package fault breaks livecart on purpose and holds that nothing is oversold, doubled or lost.
//
// A case runs what runs in production: a private redis-server, Postgres, a NATS server, and gateways and
// ledgers as child processes of the built binary, which are killed with kill -9, frozen and restarted.
// A sandbox takes their buyers' money and notifies the first gateway.
// Between a process and each server, and between buyers and a gateway, lies a link that can break: cut,
// drop, hold (half-open, or a black hole), slow, and traps that act when certain bytes pass by (let the
// COMMIT through and hold its answer). Buyers speak livecart.v1 and write down what they sent and what
// they were told.
//
// After each case all faults end, and the runner checks
//
//   - that Redis and Postgres come to agree: what is left, nothing pending, the pieces of each buyer;
//   - every invariant, as livecart audit does, in one snapshot;
//   - the buyers' history: each "ok" has its row, one key has one outcome however often it was sent, no
//     order answers nobody, nobody was served outside the sale's time by the clock of Postgres;
//   - that nothing ended in dead_letter, unless the case sent what must.
//
// # Running it
//
//	go test ./cmd/livecart/fault                          every case, each mutant against its killer
//	go test ./cmd/livecart/fault -v                       the same, with both tables
//	go test ./cmd/livecart/fault -run 'Faults/^nats'      some cases
//	go test ./cmd/livecart/fault -mutants all             every mutant against every case
//	go test ./cmd/livecart/fault -mutants control         every case with a mutant that changes nothing
//	go test ./cmd/livecart/fault -mutants none            no mutants
//	go test ./cmd/livecart/fault -run Evening -evening     a sale of 1,000 pieces under all faults at once
//	go test ./cmd/livecart/fault -run Long -long -seed 7  random faults under load, -for 10m
//
// # Adding a case
//
// A file of cases has a list of its own, named in cases (fault_test.go); its mutants are named in mutants
// (mutant_test.go). A case names what it needs in its setup and does its work in run, by w, the world: it
// may end the test with w.must, w.until and w.come, and fails it with w.equal. It waits for what it
// causes, never for a time. Each mistake that a case is there to find should stand as a mutant: a text
// of the source with its wrong replacement, and the case that must fail with it. The text stands in the
// body of a function, or in a file of SQL or Lua. All mutants of Go code are compiled into one binary, by
// an overlay; the name of its file says which one a process is. A mutant whose text is gone from the source
// fails too: it has to be written anew.
//
// A case that needs no processes has a source instead of setup and run: model_seeded compiles the tests
// of the packages cart and gift, with a mutant's edits, and runs their TestModelSeeded alone, which holds
// the decisions against one who serves one at a time.
package fault
