-- Now, and after each entry that takes.
SELECT user_id, balance FROM wallet WHERE balance < 0
UNION ALL
SELECT sender_id, balance FROM tip WHERE balance < 0
UNION ALL
SELECT user_id, balance FROM lot_refund WHERE balance < 0
