-- Gives back reservations of one sale that no ledger worker took: nothing was or will be decided about
-- them, so their keys are free again. Only what is still pending moves stock. Another sending of a key may be
-- with the ledger meanwhile, so the key is marked: what Redis would refuse of it, the ledger answers.
--
-- KEYS[1]      {f:<sale>}:sale
-- KEYS[2]      {f:<sale>}:pending
-- KEYS[3]      {f:<sale>}:buyers
-- KEYS[4]      {f:<sale>}:marks
-- ARGV[1]      seconds to keep the marks where nothing else says it
-- ARGV[2..]    of each attempt: <user>:<request_id>, content
--
-- Replies the number of reservations given back.
-- Where the counters are missing, a Resync counts the buyers anew.
local counted = redis.call('EXISTS', KEYS[1]) == 1
local released, back = 0, 0
for at = 2, #ARGV, 2 do
  local field = ARGV[at]
  local before = redis.call('HGET', KEYS[2], field)
  if before then
    local quantity, content = string.match(before, '^(%d+):%d+:(%x+):')
    if content == ARGV[at + 1] then
      redis.call('HDEL', KEYS[2], field)
      -- The key may be decided with other content meanwhile: that stays.
      if string.sub(redis.call('HGET', KEYS[4], field) or '', 1, 4) ~= 'ask:' then
        redis.call('HSET', KEYS[4], field, 'free:' .. content)
      end
      if counted then
        redis.call('HINCRBY', KEYS[3], string.sub(field, 1, 32), -tonumber(quantity))
      end
      released = released + 1
      back = back + tonumber(quantity)
    end
  end
end
if released > 0 and redis.call('PTTL', KEYS[4]) < 0 then
  redis.call('PEXPIRE', KEYS[4], math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[1]) * 1000))
end
if released > 0 and counted then
  redis.call('HINCRBY', KEYS[1], 'held', -back)
  if redis.call('HGET', KEYS[1], 'closed') ~= '1' then
    redis.call('HINCRBY', KEYS[1], 'available', back)
  end
  redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
return released
