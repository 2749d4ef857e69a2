-- Gives back reservations of one sale that no ledger worker took: nothing was or will be decided about
-- them, so their keys are free again. Only what is still pending moves stock.
--
-- KEYS[1]      {f:<sale>}:sale
-- KEYS[2]      {f:<sale>}:pending
-- KEYS[3]      {f:<sale>}:buyers
-- ARGV[1..]    of each attempt: <user>:<request_id>, content
--
-- Replies the number of reservations given back.
-- Where the counters are missing, a Resync counts the buyers anew.
local counted = redis.call('EXISTS', KEYS[1]) == 1
local released, back = 0, 0
for at = 1, #ARGV, 2 do
  local field = ARGV[at]
  local before = redis.call('HGET', KEYS[2], field)
  if before then
    local quantity, content = string.match(before, '^(%d+):%d+:(%x+):')
    if content == ARGV[at + 1] then
      redis.call('HDEL', KEYS[2], field)
      if counted then
        redis.call('HINCRBY', KEYS[3], string.sub(field, 1, 32), -tonumber(quantity))
      end
      released = released + 1
      back = back + tonumber(quantity)
    end
  end
end
if released > 0 and counted then
  redis.call('HINCRBY', KEYS[1], 'held', -back)
  if redis.call('HGET', KEYS[1], 'closed') ~= '1' then
    redis.call('HINCRBY', KEYS[1], 'available', back)
  end
  redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
return released
