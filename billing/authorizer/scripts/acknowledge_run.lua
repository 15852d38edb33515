-- The books have the stream's oldest entries at the amounts they were charged: cut them off, which costs the server a fraction of
-- deleting them one by one.
-- KEYS: stream, then the balance of each organization
-- ARGV: id of the first entry, the id after the last, how many they are, then the sum of each organization
-- Reply: how many were cut off, all of them; or -1 for nothing, because they are not the stream's oldest any more or one of them is
-- gone: ask acknowledge_plain then. Works in a closed epoch too: a rebuild drains the stream first.
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then return -1 end -- there is no stream
local about = {}
for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
local first, deleted = about['first-entry'], about['max-deleted-entry-id']
if not first or first[1] ~= ARGV[1] or not deleted then return -1 end
-- Entries are added at the end only, so what was read between two of them is all that was ever there; and nothing behind the first was
-- deleted by itself.
local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end
local deleted_ms, deleted_number = parts(deleted)
local first_ms, first_number = parts(ARGV[1])
if deleted_ms > first_ms or (deleted_ms == first_ms and deleted_number >= first_number) then return -1 end

for i = 2, #KEYS do
  if redis.call('HEXISTS', KEYS[i], 'seq') == 1 then add(KEYS[i], 'unposted', neg(ARGV[i + 2])) end
end
local cut = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[2])
if cut ~= tonumber(ARGV[3]) then
  -- Cannot be: see above. Said aloud, for then the money store needs a rebuild.
  redis.log(redis.LOG_WARNING, 'tollway: ' .. cut .. ' entries were cut off ' .. KEYS[1] .. ' instead of ' .. ARGV[3])
end
return cut
