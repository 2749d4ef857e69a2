-- Takes pieces of one sale for a batch of attempts, each all or nothing, in their order.
--
-- KEYS[1]      {f:<sale>}:sale     hash, written by resync.lua
-- KEYS[2]      {f:<sale>}:pending  hash: <user>:<request_id> -> <quantity>:<unix ms>:<content>:<buyer id>
-- KEYS[3]      {f:<sale>}:buyers   hash: <user> -> pieces pending or ordered
-- KEYS[3+i]    {f:<sale>}:mark:<user>:<request_id>  of attempt i: <word>:<content>
-- ARGV[1]      room id
-- ARGV[2]      seconds to keep a mark
-- ARGV[3..]    of each attempt: user (hash of the buyer id), request_id, content (hash), quantity, buyer id
--
-- Replies {'unknown'} where the sale has no counters, or where it would refuse by counters that another server
-- counted (this one has them from a file or as a replica, and may lack an order of that very key): only a
-- Resync makes them. Else {'known', word of each attempt}:
--   reserved         pieces are held until the ledger's decision
--   ask              the ledger may know this key: let it answer, nothing was taken
--   sold_out, limit_per_buyer   final, and marked so
--   conflict         the key was used with other content
--   sale_ended, not_started, own_sale, sale_not_found
local sale = redis.call('HMGET', KEYS[1], 'room', 'owner', 'opens', 'closed', 'limit', 'available', 'lossy', 'run')
if not sale[1] then
  return {'unknown'}
end
local room, owner, closed, lossy = sale[1], sale[2], sale[4] == '1', sale[7] == '1'
local opens, limit, available = tonumber(sale[3]), tonumber(sale[5]), tonumber(sale[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local taken = 0
local run
local reply = {'known'}
for i = 1, #KEYS - 3 do
  local at = 3 + (i - 1) * 5
  local user, request, content, quantity, buyer = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4]
  local field, markKey = user .. ':' .. request, KEYS[3 + i]
  local word
  local mark = redis.call('GET', markKey)
  local before = not mark and redis.call('HGET', KEYS[2], field)
  if room ~= ARGV[1] then
    word = 'sale_not_found'
  elseif mark then
    local colon = string.find(mark, ':', 1, true)
    word = string.sub(mark, 1, colon - 1)
    if string.sub(mark, colon + 1) ~= content then
      word = 'conflict'
    end
  elseif before then
    word = 'ask'
    if string.match(before, '^%d+:%d+:(%x+):') ~= content then
      word = 'conflict'
    end
  elseif owner == user then
    word = 'own_sale'
  elseif not closed and now < opens then
    word = 'not_started'
  elseif lossy and redis.call('HEXISTS', KEYS[3], user) == 1 then
    -- Marks were lost with an earlier Redis: a buyer whom the ledger knows may be repeating a key that
    -- it has decided. Nothing may be taken for that, or the buyer would hold its pieces twice.
    word = 'ask'
  elseif closed then
    word = 'sale_ended'
  elseif available < quantity then
    word = 'sold_out'
  elseif limit > 0 and tonumber(redis.call('HGET', KEYS[3], user) or 0) + quantity > limit then
    word = 'limit_per_buyer'
  else
    word = 'reserved'
    available = available - quantity
    taken = taken + quantity
    redis.call('HSET', KEYS[2], field, quantity .. ':' .. string.format('%.0f', now) .. ':' .. content .. ':' .. buyer)
    redis.call('HINCRBY', KEYS[3], user, quantity)
  end
  if not mark and (word == 'sold_out' or word == 'limit_per_buyer') then
    if not run then
      -- A server that does not tell (miniredis) is taken at its counters.
      local info = redis.pcall('INFO', 'server')
      run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
      if not string.find(sale[8] or '', run, 1, true) then
        reply = {'unknown'}
        break
      end
    end
    redis.call('SET', markKey, word .. ':' .. content, 'EX', ARGV[2])
  end
  reply[i + 1] = word
end
if taken > 0 then
  redis.call('HINCRBY', KEYS[1], 'available', -taken)
  redis.call('HINCRBY', KEYS[1], 'held', taken)
  redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
return reply
