// Package store opens livecart's Postgres and Redis and holds what every noun shares of them: the
// schema's migrations, transactions that may be retried, numbered room events, scripts, ids, and
// the form of an invariant.
//
// Postgres is the truth; Redis decides fast and may be lost at any time. Locks are taken in one
// order everywhere, each kind sorted: sale, sku, attempt keys, order, account, and last the room
// row that [AppendEvent] raises.
package store
