-- Give a hold back uncharged: the caller left before anybody learned that the hold was granted.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local hold = redis.call('HGET', KEYS[3], ARGV[3])
if not hold then return {'GONE', epoch} end
local held = string.match(hold, '^(%d+) ')
local today = math.floor(server_ms() / MS_PER_DAY)
add(KEYS[2], 'held', neg(held))
add(KEYS[2], 'avail', held)
for i = 5, #KEYS do
  roll(KEYS[i], redis.call('HGET', KEYS[i], 'day'), today)
  release(KEYS[i], held)
end
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], ARGV[2] .. ':' .. ARGV[3])
return {'OK', epoch}
