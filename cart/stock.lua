-- Claims the telling of a sale's stock to its room, for one of all processes at a time.
--
-- KEYS[1]      {f:<sale>}:sale
-- ARGV[1]      '1' if no ledger answers the asking process
-- ARGV[2]      least milliseconds between two tellings
--
-- Replies {'no'} where there is nothing new, {'later'} where the last telling is too fresh, or
-- {'tell', room id, available, held, epoch, rev}.
local sale = redis.call('HMGET', KEYS[1], 'room', 'available', 'held', 'epoch', 'rev', 'told', 'told_ms', 'told_paused', 'closed')
if not sale[1] or sale[9] == '1' then
  return {'no'}
end
local paused = (sale[8] or '0') ~= ARGV[1]
if sale[6] == sale[4] .. ':' .. sale[5] and not paused then
  return {'no'}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local age = now - tonumber(sale[7] or 0)
-- A clock that was set back must not silence the room.
if age >= 0 and age < tonumber(ARGV[2]) then
  return {'later'}
end
local rev = tonumber(sale[5])
if paused then
  rev = redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
redis.call('HSET', KEYS[1], 'told', sale[4] .. ':' .. rev, 'told_ms', string.format('%.0f', now), 'told_paused', ARGV[1])
return {'tell', sale[1], tonumber(sale[2]), tonumber(sale[3]), tonumber(sale[4]), rev}
