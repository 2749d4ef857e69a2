-- Claims unpaid top-ups that are to be asked about, leaving out those that another worker is claiming. A
-- claim ends by itself.
-- $1 at most how many, $2 seconds that the claim lasts, $3 seconds after the window that count as long.
UPDATE topup SET asked = asked + 1, ask_at = clock_timestamp() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM topup WHERE state = 'awaiting_payment' AND ask_at <= clock_timestamp()
    ORDER BY ask_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id, asked, expires_at < clock_timestamp() AS over,
          expires_at + make_interval(secs => $3) < clock_timestamp() AS long_since
