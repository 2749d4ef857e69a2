-- The transactions that hold the lock of writers of tip_attempt: those that may be about to commit tips,
-- by an id that no other transaction has.
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'tip_attempt'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
