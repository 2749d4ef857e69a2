-- Writes the likes that one gateway counted in a room. A repeated call does no harm.
--
-- KEYS 1 {r:<room>}:likes    hash, part -> likes, cumulative
--      2 {r:<room>}:counter  hash, see report.lua
-- ARGV 1 part  2 likes of the part, cumulative
-- Reply {all likes of the room, those of the part among them}; the first is -1 where Redis does not know
--      the room: then nothing was written.
if redis.call('HEXISTS', KEYS[2], 'epoch') == 0 then
  return {-1, 0}
end
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
local likes = 0
for _, n in ipairs(redis.call('HVALS', KEYS[1])) do
  likes = likes + tonumber(n)
end
return {likes, tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')}
