-- Ends reservations of one sale as the ledger decided them, and marks their keys so that a repeated
-- attempt goes to the ledger. Only what is still pending moves stock, whatever happened in between.
--
-- KEYS[1]      {f:<sale>}:sale
-- KEYS[2]      {f:<sale>}:pending
-- KEYS[3]      {f:<sale>}:buyers
-- KEYS[4]      {f:<sale>}:marks
-- KEYS[5]      {f:<sale>}:strays   hash: <user> -> buyer id
-- ARGV[1]      seconds to keep the marks where nothing else says it
-- ARGV[2..]    of each attempt, at most 256: <user>:<request_id>, content, buyer id where it was ordered, ''
--              where it was refused
--
-- The buyer of an order whose reservation Redis lost, or that was asked for without one, is a stray: its pieces
-- are in no count, until the next Resync corrects it. So is one whose key was released before: it may have been
-- counted as an order already when it was reserved once more.
--
-- Replies the number of reservations that ended.
local call = redis.call
local fields, marks, gone = {}, {}, {}
for at = 2, #ARGV, 3 do
  fields[#fields + 1] = ARGV[at]
  marks[#marks + 1], marks[#marks + 2] = ARGV[at], 'ask:' .. ARGV[at + 1]
end
local pending, known = call('HMGET', KEYS[2], unpack(fields)), call('HMGET', KEYS[4], unpack(fields))
-- Where the counters are missing, a Resync counts the buyers anew.
local counted = call('EXISTS', KEYS[1]) == 1
local back, held, ended = 0, 0, {}
for i = 1, #fields do
  local field, before = fields[i], pending[i]
  if before and not ended[field] then
    local quantity, content = string.match(before, '^(%d+):%d+:(%x+):')
    if content == ARGV[3 * i] then
      ended[field] = true
      gone[#gone + 1] = field
      held = held + tonumber(quantity)
      if ARGV[3 * i + 1] == '' then
        back = back + tonumber(quantity)
        if counted then
          call('HINCRBY', KEYS[3], string.sub(field, 1, 32), -tonumber(quantity))
        end
      end
    end
  end
  local mark = known[i] or ''
  local uncounted = ended[field] and string.sub(mark, 1, 5) == 'free:' or not ended[field] and mark ~= marks[2 * i]
  if counted and ARGV[3 * i + 1] ~= '' and uncounted then
    call('HSET', KEYS[5], string.sub(field, 1, 32), ARGV[3 * i + 1])
    call('PEXPIRE', KEYS[5], math.max(call('PTTL', KEYS[1]), tonumber(ARGV[1]) * 1000))
  end
end
call('HSET', KEYS[4], unpack(marks))
if call('PTTL', KEYS[4]) < 0 then
  call('PEXPIRE', KEYS[4], math.max(call('PTTL', KEYS[1]), tonumber(ARGV[1]) * 1000))
end
if #gone == 0 then
  return 0
end
call('HDEL', KEYS[2], unpack(gone))
if counted then
  call('HINCRBY', KEYS[1], 'held', -held)
  if back > 0 and call('HGET', KEYS[1], 'closed') ~= '1' then
    call('HINCRBY', KEYS[1], 'available', back)
  end
  call('HINCRBY', KEYS[1], 'rev', 1)
end
return #gone
