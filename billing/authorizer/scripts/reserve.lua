-- Check and take every scope at once, or none.
-- KEYS: epoch, balance, holds, deadlines, scope…   ARGV: run, org, event, amount, ttl_ms, force, scope ids, context
-- Replies: {OK | HELD | NO_ORG | NO_KEY | KEY_DISABLED | KEY_EXPIRED, epoch}, {SHORT_BALANCE | SHORT_KEY, epoch, available}, {EPOCH}
-- force re-asserts a request that is already running: it may overdraw, and a switched-off key does not stop it.
local FIRST_SCOPE = 5
local org, event, amount, force = ARGV[2], ARGV[3], ARGV[4], ARGV[6] == '1'
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
if redis.call('HEXISTS', KEYS[2], 'seq') == 0 then return {'NO_ORG', epoch} end
if redis.call('HEXISTS', KEYS[3], event) == 1 then return {'HELD', epoch} end

local now = server_ms()
local today = math.floor(now / MS_PER_DAY)
local limits = {}
for i = FIRST_SCOPE, #KEYS do
  local scope = redis.call('HMGET', KEYS[i], 'version', 'disabled', 'expires_s', 'limit', 'day')
  if not scope[1] then return {'NO_KEY', epoch} end
  if not force and scope[2] == '1' then return {'KEY_DISABLED', epoch} end
  if not force and scope[3] ~= '' and tonumber(scope[3]) * 1000 <= now then return {'KEY_EXPIRED', epoch} end
  limits[i] = scope[4]
  roll(KEYS[i], scope[5], today)
end

if add(KEYS[2], 'avail', neg(amount)) < 0 and not force then
  undo()
  return {'SHORT_BALANCE', epoch, redis.call('HGET', KEYS[2], 'avail')}
end
add(KEYS[2], 'held', amount)
for i = FIRST_SCOPE, #KEYS do
  if limits[i] ~= '' and add(KEYS[i], 'free', neg(amount)) < 0 and not force then
    undo()
    return {'SHORT_KEY', epoch, redis.call('HGET', KEYS[i], 'free')}
  end
  add(KEYS[i], 'held', amount)
end
redis.call('HSET', KEYS[3], event, amount .. ' 0 ' .. ARGV[7] .. ' ' .. ARGV[8])
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[5]), org .. ':' .. event)
return {'OK', epoch}
