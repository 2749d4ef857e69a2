-- Writes what one gateway counted in a room and returns the room's sums. Figures only rise, so a
-- repeated or a late call does no harm.
--
-- KEYS 1 {r:<room>}:likes    hash, part -> likes, cumulative
--      2 {r:<room>}:visits   hash, part -> visits, cumulative
--      3 {r:<room>}:online   hash, part -> "<connections>:<written at, ms>"
--      4 {r:<room>}:unique   HyperLogLog of viewer ids
--      5 {r:<room>}:counter  hash: epoch; peak; floor: least unique viewers; lower: 1 if unique is a lower bound
--      6 {r:<room>}:host     exists while a host is connected
-- ARGV 1 part, one run of one gateway; empty to read only
--      2 likes  3 visits  4 connections
--      5 a part that did not write for so long is gone, ms
--      6 keep the keys for so long after the last call, s
--      7 a host is here: note it for so long, ms; else 0
--      8 1 if viewers may be missing from unique
--      9.. viewer ids that are new, at most 1000
-- Reply {epoch, likes, visits, online, peak, unique, lower, own visits as stored before this call,
--      own likes, which likes holds}; epoch is empty where Redis knows nothing of the room: then nothing
--      was written.
local epoch = redis.call('HGET', KEYS[5], 'epoch')
if not epoch then
  return {'', 0, 0, 0, 0, 0, 0, 0, 0}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stale = tonumber(ARGV[5])
local part = ARGV[1]
local before, own = 0, 0

if part ~= '' then
  if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], part) or '0') then
    redis.call('HSET', KEYS[1], part, ARGV[2])
  end
  own = tonumber(redis.call('HGET', KEYS[1], part) or '0')
  before = tonumber(redis.call('HGET', KEYS[2], part) or '0')
  if tonumber(ARGV[3]) > before then
    redis.call('HSET', KEYS[2], part, ARGV[3])
  end
  if tonumber(ARGV[4]) > 0 then
    redis.call('HSET', KEYS[3], part, ARGV[4] .. ':' .. string.format('%.0f', now))
  else
    redis.call('HDEL', KEYS[3], part)
  end
  if ARGV[8] == '1' then
    redis.call('HSET', KEYS[5], 'lower', '1')
  end
  if #ARGV >= 9 then
    redis.call('PFADD', KEYS[4], unpack(ARGV, 9))
  end
  if tonumber(ARGV[7]) > 0 then
    redis.call('SET', KEYS[6], '1', 'PX', ARGV[7])
  end
  for i = 1, 5 do
    redis.call('EXPIRE', KEYS[i], ARGV[6])
  end
end

local likes, visits, online = 0, 0, 0
for _, n in ipairs(redis.call('HVALS', KEYS[1])) do
  likes = likes + tonumber(n)
end
for _, n in ipairs(redis.call('HVALS', KEYS[2])) do
  visits = visits + tonumber(n)
end
local parts = redis.call('HGETALL', KEYS[3])
for i = 1, #parts, 2 do
  local count, at = string.match(parts[i + 1], '^(%d+):(%d+)$')
  -- A time ahead of now was written before a fail-over to a server whose clock is behind.
  if at and math.abs(now - tonumber(at)) <= stale then
    online = online + tonumber(count)
  elseif part ~= '' then
    redis.call('HDEL', KEYS[3], parts[i])
  end
end
local peak = tonumber(redis.call('HGET', KEYS[5], 'peak') or '0')
if online > peak then
  peak = online
  if part ~= '' then
    redis.call('HSET', KEYS[5], 'peak', string.format('%.0f', peak))
  end
end
local unique = math.max(redis.call('PFCOUNT', KEYS[4]), tonumber(redis.call('HGET', KEYS[5], 'floor') or '0'))
local lower = tonumber(redis.call('HGET', KEYS[5], 'lower') or '0')
return {epoch, likes, visits, online, peak, unique, lower, before, own}
