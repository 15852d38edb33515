-- Check and take every scope at once, or none.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event, amount, ttl_ms, force, scope ids, context
-- Replies: {OK | HELD | NO_ORG | NO_KEY | FROZEN | MOVING | KEY_DISABLED | KEY_EXPIRED, epoch}, {SHORT_BALANCE | SHORT_KEY, epoch, available}, {EPOCH}
-- force re-asserts a request that is already running: it may overdraw, and neither a switched-off key nor a freeze stops it.
local org, event, amount, force = ARGV[2], ARGV[3], ARGV[4], ARGV[6] == '1'
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local known = redis.call('HMGET', KEYS[2], 'seq', 'frozen')
if not known[1] then return {'NO_ORG', epoch} end
if redis.call('HEXISTS', KEYS[3], event) == 1 then return {'HELD', epoch} end
local now_ms = server_ms()
if known[2] and not force then
  if known[2] == '1' then return {'FROZEN', epoch} end
  if now_ms < tonumber(known[2]) then return {'MOVING', epoch} end
end

local scopes = {}
for i = 5, #KEYS do
  local scope = read_scope(KEYS[i], now_ms)
  if not scope then return {'NO_KEY', epoch} end
  if scope.is_disabled and not force then return {'KEY_DISABLED', epoch} end
  if scope.expires_s ~= '' and tonumber(scope.expires_s) * 1000 <= now_ms and not force then return {'KEY_EXPIRED', epoch} end
  scopes[#scopes + 1] = scope
end

if add(KEYS[2], 'avail', neg(amount)) < 0 and not force then
  undo()
  return {'SHORT_BALANCE', epoch, redis.call('HGET', KEYS[2], 'avail')}
end
add(KEYS[2], 'held', amount)
for _, scope in ipairs(scopes) do
  if scope.limit ~= '' and add(scope.key, 'free', neg(amount)) < 0 and not force then
    undo()
    return {'SHORT_KEY', epoch, redis.call('HGET', scope.key, 'free')}
  end
  add(scope.key, 'held', amount)
end
redis.call('HSET', KEYS[3], event, amount .. ' 0 ' .. ARGV[7] .. ' ' .. ARGV[8])
redis.call('ZADD', KEYS[4], now_ms + tonumber(ARGV[5]), org .. ':' .. event)
return {'OK', epoch}
