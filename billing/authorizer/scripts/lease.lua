-- Set money aside for requests to come, where plenty is left: a hold like any other, from which draw.lua takes.
-- KEYS: epoch, balance, holds, deadlines, scope   ARGV: run, org, lease, amount, ttl_ms, key id, margin, margin − amount, mark
-- The margin is what must be free in the balance and in the key's limit, the amount included.
-- Replies: {OK | NO, epoch}, {EPOCH}
local org, lease, amount, margin, back = ARGV[2], ARGV[3], ARGV[4], ARGV[7], ARGV[8]
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local known = redis.call('HMGET', KEYS[2], 'seq', 'frozen')
local now_ms = server_ms()
if not known[1] or known[2] and (known[2] == '1' or now_ms < tonumber(known[2])) then return {'NO', epoch} end
local scope = read_scope(KEYS[5], now_ms)
if not scope or scope.is_disabled then return {'NO', epoch} end
if scope.expires_s ~= '' and tonumber(scope.expires_s) * 1000 <= now_ms then return {'NO', epoch} end

if add(KEYS[2], 'avail', neg(margin)) < 0 or (scope.limit ~= '' and add(scope.key, 'free', neg(margin)) < 0) then
  undo()
  return {'NO', epoch}
end
add(KEYS[2], 'avail', back)
add(KEYS[2], 'held', amount)
if scope.limit ~= '' then add(scope.key, 'free', back) end
add(scope.key, 'held', amount)
redis.call('HSET', KEYS[3], lease, amount .. ' 0 ' .. ARGV[6] .. ' ' .. ARGV[9])
redis.call('ZADD', KEYS[4], now_ms + tonumber(ARGV[5]), org .. ':' .. lease)
return {'OK', epoch}
