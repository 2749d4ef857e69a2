-- Takes pieces of one sale for a batch of attempts, each all or nothing, in their order. Every hash is
-- read once and written once for the whole batch: a call of a command costs more than what it does.
--
-- KEYS[1]      {f:<sale>}:sale     hash, written by resync.lua
-- KEYS[2]      {f:<sale>}:pending  hash: <user>:<request_id> -> <quantity>:<unix ms>:<content>:<buyer id>
-- KEYS[3]      {f:<sale>}:buyers   hash: <user> -> pieces pending or ordered
-- KEYS[4]      {f:<sale>}:marks    hash: <user>:<request_id> -> <word>:<content>, the word free after a release
-- ARGV[1]      room id
-- ARGV[2..]    of each attempt, at most 64: <user>:<request_id> where user is the hash of the buyer id in 32
--              digits, content (hash), <quantity>:<buyer id>
--
-- Replies 'unknown', with nothing taken, where the sale has no counters, or where it would refuse by counters
-- that another server counted (this one has them from a file or as a replica, and may lack an order of that
-- very key): only a Resync makes them. Else a word for each attempt, with spaces between:
--   reserved         pieces are held until the ledger's decision
--   ask              the ledger may know this key: let it answer, nothing was taken
--   sold_out, limit_per_buyer   final, and marked so
--   conflict         the key was used with other content
--   sale_ended, not_started, own_sale, sale_not_found
local call, sub = redis.call, string.sub
local sale = call('HMGET', KEYS[1], 'room', 'owner', 'opens', 'closed', 'limit', 'available', 'lossy', 'run')
if not sale[1] then
  return 'unknown'
end
local fields, words = {}, {}
for i = 1, (#ARGV - 1) / 3 do
  fields[i], words[i] = ARGV[3 * i - 1], 'sale_not_found'
end
if sale[1] ~= ARGV[1] then
  return table.concat(words, ' ')
end
local owner, closed, lossy = sale[2], sale[4] == '1', sale[7] == '1'
local limit, available = tonumber(sale[5]), tonumber(sale[6])
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local early = not closed and now < tonumber(sale[3])

local marks = call('HMGET', KEYS[4], unpack(fields))
local pending = call('EXISTS', KEYS[2]) == 1 and call('HMGET', KEYS[2], unpack(fields)) or {}
-- What buyers have is needed where something may be taken, or was lost. By user; false for who is not known.
local pieces = {}
if lossy or not closed and available > 0 then
  local users = {}
  for i = 1, #fields do
    users[i] = sub(fields[i], 1, 32)
  end
  local counts = call('HMGET', KEYS[3], unpack(users))
  for i = 1, #users do
    pieces[users[i]] = counts[i] and tonumber(counts[i])
  end
end

local taken = 0
-- What this batch writes, as lists of field and value, and by field for repeated keys in it.
local newMarks, newPending, newPieces = {}, {}, {}
local marked, reserved = {}, {}
for i = 1, #fields do
  local field, content = fields[i], ARGV[3 * i]
  local word
  local mark = marks[i] or marked[field]
  -- Released, and perhaps on its way to the ledger for another who sent it: as a new key, but not refused here.
  local freed = mark and sub(mark, 1, 5) == 'free:'
  mark = not freed and mark
  local before = not mark and (pending[i] or reserved[field])
  if mark then
    local colon = string.find(mark, ':', 1, true)
    word = sub(mark, colon + 1) == content and sub(mark, 1, colon - 1) or 'conflict'
  elseif before then
    word = string.match(before, '^%d+:%d+:(%x+):') == content and 'ask' or 'conflict'
  elseif string.find(field, owner, 1, true) == 1 then
    word = 'own_sale'
  elseif early then
    word = 'not_started'
  elseif lossy and pieces[sub(field, 1, 32)] then
    -- Marks were lost with an earlier Redis: a buyer whom the ledger knows may be repeating a key that
    -- it has decided. Nothing may be taken for that, or the buyer would hold its pieces twice.
    word = 'ask'
  elseif closed then
    word = 'sale_ended'
  elseif available <= 0 then
    word = 'sold_out'
  else
    local user = sub(field, 1, 32)
    local count, buyer = string.match(ARGV[3 * i + 1], '^(%d+)(:.*)$')
    local quantity, held = tonumber(count), pieces[user] or 0
    if available < quantity then
      word = 'sold_out'
    elseif limit > 0 and held + quantity > limit then
      word = 'limit_per_buyer'
    else
      word = 'reserved'
      available = available - quantity
      taken = taken + quantity
      pieces[user] = held + quantity
      local value = count .. ':' .. string.format('%.0f', now) .. ':' .. content .. buyer
      reserved[field] = value
      newPending[#newPending + 1], newPending[#newPending + 2] = field, value
      newPieces[#newPieces + 1], newPieces[#newPieces + 2] = user, held + quantity
    end
  end
  if freed and (word == 'sold_out' or word == 'limit_per_buyer' or word == 'sale_ended') then
    word = 'ask'
  elseif not mark and (word == 'sold_out' or word == 'limit_per_buyer') then
    mark = word .. ':' .. content
    marked[field] = mark
    newMarks[#newMarks + 1], newMarks[#newMarks + 2] = field, mark
  end
  words[i] = word
end
if #newMarks > 0 then
  -- A server that does not tell (miniredis) is taken at its counters.
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
  if not string.find(sale[8] or '', run, 1, true) then
    return 'unknown'
  end
  call('HSET', KEYS[4], unpack(newMarks))
  -- Marks live as long as the counters, a day longer than the sale.
  local left = call('PTTL', KEYS[4]) < 0 and call('PTTL', KEYS[1]) or 0
  if left > 0 then
    call('PEXPIRE', KEYS[4], left)
  end
end
if taken > 0 then
  call('HSET', KEYS[2], unpack(newPending))
  call('HSET', KEYS[3], unpack(newPieces))
  call('HINCRBY', KEYS[1], 'available', -taken)
  call('HINCRBY', KEYS[1], 'held', taken)
  call('HINCRBY', KEYS[1], 'rev', 1)
end
return table.concat(words, ' ')
