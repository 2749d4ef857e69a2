// Package stacktest gives tests real servers: Postgres, Redis, NATS and a browser.
//
// Servers are private to the test process, started when first asked for, and end with it, however it ends. Postgres and
// Redis are shared by the tests of a process, each of which has a database of its own; NATS is started for each test.
// The servers leave no goroutine behind, so tests may look for leaks.
//
// Where a part cannot be had, the test that asks for it is skipped with a line that says what to install. With
// LIVECART_TEST_REQUIRE, a comma-separated list of postgres, redis and chrome, it fails instead.
package stacktest
