-- Sets the counters of one sale to what Postgres says and what is pending. The caller holds the lock
-- of the sale's row, so nothing is decided meanwhile.
--
-- KEYS[1]      {f:<sale>}:sale
-- KEYS[2]      {f:<sale>}:pending
-- KEYS[3]      {f:<sale>}:buyers
-- KEYS[4]      {f:<sale>}:marks
-- KEYS[5]      {f:<sale>}:strays
-- KEYS[6]      what the buyers were loaded into, where they were
-- ARGV[1]      room id
-- ARGV[2]      owner, hash of the user id
-- ARGV[3]      quantity, pieces
-- ARGV[4]      sold, pieces
-- ARGV[5]      pieces a buyer may hold, 0 for no limit
-- ARGV[6]      '1' if the sale is closed
-- ARGV[7]      milliseconds until it opens, 0 if it is open; counted from this server's time
-- ARGV[8]      new epoch
-- ARGV[9]      database time of this reading, microseconds
-- ARGV[10]     '1' if the buyers were just loaded from Postgres
-- ARGV[11]     '1' if marks may have been lost
-- ARGV[12]     seconds to keep the keys
-- ARGV[13]     names of the Redis servers, as they were before this reading
-- ARGV[14]     epoch of the counters that this reading is of, '' where it found or left none
-- ARGV[15]     number of decided attempts that follow
-- ARGV[16..]   of each decided attempt: <user>:<request_id>, '1' where it was ordered
-- then         of each buyer to correct: user, pieces in orders
--
-- Replies {available, held}, or with nothing changed the error STALE where Redis lost what the caller has
-- read or loaded, or another Resync has come in between: the caller was late, and holds the lock no more.
local decided = tonumber(ARGV[15])
local loaded = ARGV[10] == '1'
-- The field loaded says how many others there are.
local buyers = loaded and tonumber(redis.call('HGET', KEYS[6], 'loaded'))
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[14] or loaded and (not buyers or redis.call('HLEN', KEYS[6]) ~= buyers + 1) then
  return redis.error_reply('STALE the counters are not those that were read')
end
if loaded then
  redis.call('HDEL', KEYS[6], 'loaded')
  redis.call('DEL', KEYS[3], KEYS[5])
  if redis.call('EXISTS', KEYS[6]) == 1 then
    redis.call('RENAME', KEYS[6], KEYS[3])
  end
end
for at = 16, 14 + decided * 2, 2 do
  local field = ARGV[at]
  local before = redis.call('HGET', KEYS[2], field)
  if before then
    redis.call('HDEL', KEYS[2], field)
    if ARGV[at + 1] ~= '1' and not loaded then
      redis.call('HINCRBY', KEYS[3], string.sub(field, 1, 32), -tonumber(string.match(before, '^(%d+):')))
    end
    redis.call('HSET', KEYS[4], field, 'ask:' .. string.match(before, '^%d+:%d+:(%x+):'))
  end
end
local corrected = {}
for at = 16 + decided * 2, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  redis.call('HDEL', KEYS[5], ARGV[at])
  corrected[ARGV[at]] = true
end
local held = 0
local pending = redis.call('HGETALL', KEYS[2])
for i = 1, #pending, 2 do
  local quantity = tonumber(string.match(pending[i + 1], '^(%d+):'))
  local user = string.match(pending[i], '^(%x+):')
  held = held + quantity
  if loaded or corrected[user] then
    redis.call('HINCRBY', KEYS[3], user, quantity)
  end
end
local available = tonumber(ARGV[3]) - tonumber(ARGV[4]) - held
if ARGV[6] == '1' then
  available = 0
end
local time = redis.call('TIME')
local opens = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'room', ARGV[1], 'owner', ARGV[2], 'limit', ARGV[5], 'closed', ARGV[6],
  'opens', string.format('%.0f', opens), 'available', available, 'held', held, 'epoch', ARGV[8], 'rev', 0,
  'synced', ARGV[9], 'lossy', ARGV[11], 'run', ARGV[13])
for i = 1, 5 do
  redis.call('EXPIRE', KEYS[i], ARGV[12])
end
return {available, held}
