-- Makes Redis know a room: its first viewer came, or Redis lost it. Everything merges by the
-- highest figure, so any number of gateways may restore a room at once and more than once.
--
-- KEYS 1..5 as in report.lua
-- ARGV 1 epoch to give where there is none
--      2 peak  3 least unique viewers  4 1 if unique is a lower bound
--      5 keep the keys for so long, s
--      6.. part, likes, visits of each known part
-- Reply: the epoch that holds.
redis.call('HSETNX', KEYS[5], 'epoch', ARGV[1])
local function raise(key, field, value)
  if tonumber(value) > tonumber(redis.call('HGET', key, field) or '0') then
    redis.call('HSET', key, field, value)
  end
end
raise(KEYS[5], 'peak', ARGV[2])
raise(KEYS[5], 'floor', ARGV[3])
raise(KEYS[5], 'lower', ARGV[4])
for i = 6, #ARGV, 3 do
  raise(KEYS[1], ARGV[i], ARGV[i + 1])
  raise(KEYS[2], ARGV[i], ARGV[i + 2])
end
for i = 1, 5 do
  redis.call('EXPIRE', KEYS[i], ARGV[5])
end
return redis.call('HGET', KEYS[5], 'epoch')
