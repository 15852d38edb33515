-- Give a hold back uncharged: the caller left before anybody learned that the hold was granted.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event   Replies: {OK | GONE, epoch}, {EPOCH}
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local hold = redis.call('HGET', KEYS[3], ARGV[3])
if not hold then return {'GONE', epoch} end
local held = string.match(hold, '^(%d+) ')
add(KEYS[2], 'held', neg(held))
add(KEYS[2], 'avail', held)
for i = 5, #KEYS do
  local scope = read_scope(KEYS[i], server_ms())
  if scope then
    add(scope.key, 'held', neg(held))
    if scope.limit ~= '' then add(scope.key, 'free', held) end
  end
end
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], ARGV[2] .. ':' .. ARGV[3])
return {'OK', epoch}
