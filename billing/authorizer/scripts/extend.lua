-- Raise a hold from one total to another, in every scope or none. Repeating it is harmless: the totals tell that it was done.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event, old total, new total, difference, ttl_ms
-- Replies: {OK | GONE, epoch}, {CHANGED, epoch, present total}, {SHORT_BALANCE | SHORT_KEY, epoch, available}, {EPOCH}
local FIRST_SCOPE = 5
local org, event, old, new, by = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local hold = redis.call('HGET', KEYS[3], event)
if not hold then return {'GONE', epoch} end
local held, rest = string.match(hold, '^(%d+)( .*)$')
if held == new then return {'OK', epoch} end
if held ~= old then return {'CHANGED', epoch, held} end

local now = server_ms()
if add(KEYS[2], 'avail', neg(by)) < 0 then
  undo()
  return {'SHORT_BALANCE', epoch, redis.call('HGET', KEYS[2], 'avail')}
end
add(KEYS[2], 'held', by)
for i = FIRST_SCOPE, #KEYS do
  local scope = redis.call('HMGET', KEYS[i], 'limit', 'day')
  roll(KEYS[i], scope[2], math.floor(now / MS_PER_DAY))
  if scope[1] ~= '' and add(KEYS[i], 'free', neg(by)) < 0 then
    undo()
    return {'SHORT_KEY', epoch, redis.call('HGET', KEYS[i], 'free')}
  end
  add(KEYS[i], 'held', by)
end
redis.call('HSET', KEYS[3], event, new .. rest)
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[7]), org .. ':' .. event)
return {'OK', epoch}
