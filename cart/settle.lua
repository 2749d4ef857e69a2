-- Ends reservations of one sale as the ledger decided them, and marks their keys so that a repeated
-- attempt goes to the ledger. Only what is still pending moves stock, whatever happened in between.
--
-- KEYS[1]      {f:<sale>}:sale
-- KEYS[2]      {f:<sale>}:pending
-- KEYS[3]      {f:<sale>}:buyers
-- KEYS[3+i]    {f:<sale>}:mark:<user>:<request_id>  of attempt i
-- ARGV[1]      seconds to keep a mark
-- ARGV[2..]    of each attempt: user, request_id, content, '1' where it was ordered and '0' where refused
--
-- Replies the number of reservations that ended.
local ended, back = 0, 0
local held = 0
for i = 1, #KEYS - 3 do
  local at = 2 + (i - 1) * 4
  local user, request, content, ordered = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] == '1'
  local field = user .. ':' .. request
  local before = redis.call('HGET', KEYS[2], field)
  if before and string.match(before, '^%d+:%d+:(%x+):') == content then
    local quantity = tonumber(string.match(before, '^(%d+):'))
    redis.call('HDEL', KEYS[2], field)
    held = held + quantity
    ended = ended + 1
    if not ordered then
      back = back + quantity
      redis.call('HINCRBY', KEYS[3], user, -quantity)
    end
  end
  redis.call('SET', KEYS[3 + i], 'ask:' .. content, 'EX', ARGV[1])
end
if ended > 0 and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'held', -held)
  if redis.call('HGET', KEYS[1], 'closed') ~= '1' then
    redis.call('HINCRBY', KEYS[1], 'available', back)
  end
  redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
return ended
