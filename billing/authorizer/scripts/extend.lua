-- Raise a hold from one total to another, in every scope or none. Repeating it is harmless: the totals tell that it was done.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event, old total, new total, difference, ttl_ms
-- Replies: {OK | GONE, epoch}, {CHANGED, epoch, present total}, {SHORT_BALANCE | SHORT_KEY, epoch, available}, {EPOCH}
local org, event, old, new, by = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local hold = redis.call('HGET', KEYS[3], event)
if not hold then return {'GONE', epoch} end
local held, more = string.match(hold, '^(%d+)( .*)$')
if held == new then return {'OK', epoch} end
if held ~= old then return {'CHANGED', epoch, held} end

local now_ms = server_ms()
if add(KEYS[2], 'avail', neg(by)) < 0 then
  undo()
  return {'SHORT_BALANCE', epoch, redis.call('HGET', KEYS[2], 'avail')}
end
add(KEYS[2], 'held', by)
for i = 5, #KEYS do
  local scope = read_scope(KEYS[i], now_ms)
  if scope.limit ~= '' and add(scope.key, 'free', neg(by)) < 0 then
    undo()
    return {'SHORT_KEY', epoch, redis.call('HGET', scope.key, 'free')}
  end
  add(scope.key, 'held', by)
end
redis.call('HSET', KEYS[3], event, new .. more)
redis.call('ZADD', KEYS[4], now_ms + tonumber(ARGV[7]), org .. ':' .. event)
return {'OK', epoch}
