-- Decides over one comment of one user and counts it when it may be said.
-- Times are Unix milliseconds of this server's clock.
--
-- KEYS[1] list    times of the user's last comments, newest first
-- KEYS[2] string  time at which the user said this text in this room
-- KEYS[3] string  time of the user's last comment in this room, kept in slow mode only
-- KEYS[4] string  content hash and comment of this request id
--
-- ARGV[1] content hash, 32 characters
-- ARGV[2] the comment, opaque bytes
-- ARGV[3] how long the request id is kept, ms; 0 where the request has none
-- ARGV[4] comments allowed a window; 0 for any number
-- ARGV[5] that window, ms
-- ARGV[6] how long the same text is refused, ms; 0 for never
-- ARGV[7] slow mode: least time between two comments, ms; 0 for none
-- ARGV[8] "1" to look the request id up and do nothing else
--
-- Reply: {"ok"}, {"same", comment}, {"conflict"}, {"unknown"} to a look-up in vain, or {"rate", ms},
-- {"slow", ms}, {"duplicate", ms} with the time to wait.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local keep, rate, window = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local same, slow = tonumber(ARGV[6]), tonumber(ARGV[7])

if keep > 0 then
  local stored = redis.call('GET', KEYS[4])
  if stored then
    if string.sub(stored, 1, 32) ~= ARGV[1] then return {'conflict'} end
    return {'same', string.sub(stored, 33)}
  end
end
if ARGV[8] == '1' then return {'unknown'} end

-- Never longer than the span itself, should the clock have been set back.
local function wait(at, span)
  if not at then return 0 end
  return math.min(tonumber(at) + span - now, span)
end

if rate > 0 then
  local ms = wait(redis.call('LINDEX', KEYS[1], rate - 1), window)
  if ms > 0 then return {'rate', ms} end
end
if slow > 0 then
  local ms = wait(redis.call('GET', KEYS[3]), slow)
  if ms > 0 then return {'slow', ms} end
end
if same > 0 then
  local ms = wait(redis.call('GET', KEYS[2]), same)
  if ms > 0 then return {'duplicate', ms} end
end

local at = string.format('%.0f', now)
if rate > 0 then
  redis.call('LPUSH', KEYS[1], at)
  redis.call('LTRIM', KEYS[1], 0, rate - 1)
  redis.call('PEXPIRE', KEYS[1], window)
end
if slow > 0 then redis.call('SET', KEYS[3], at, 'PX', slow) end
if same > 0 then redis.call('SET', KEYS[2], at, 'PX', same) end
if keep > 0 then redis.call('SET', KEYS[4], ARGV[1] .. ARGV[2], 'PX', keep) end
return {'ok'}
