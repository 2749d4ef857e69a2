-- Orders of sales that were made when the sale was not on.
--
-- $1 sales
SELECT o.id, o.buyer_id, o.request_id, s.id, o.created_at::text, s.starts_at::text, least(s.ends_at, s.closed_at)::text
FROM sale s JOIN orders o ON o.sale_id = s.id
WHERE s.id = ANY ($1) AND (o.created_at < s.starts_at OR o.created_at >= s.ends_at OR o.created_at > s.closed_at)
ORDER BY o.id
