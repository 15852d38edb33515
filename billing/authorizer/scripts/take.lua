-- Check and take every scope at once, or none.
-- keys: epoch, balance, holds, deadlines, scope…   args: run, org, event, amount, ttl_ms, force, scope ids, context
-- Returns what reserve.lua replies.
local function take(epoch, keys, args)
  local org, event, amount, force = args[2], args[3], args[4], args[6] == '1'
  local known = redis.call('HMGET', keys[2], 'seq', 'frozen')
  if not known[1] then return {'NO_ORG', epoch} end
  if redis.call('HEXISTS', keys[3], event) == 1 then return {'HELD', epoch} end
  local now_ms = server_ms()
  if known[2] and not force then
    if known[2] == '1' then return {'FROZEN', epoch} end
    if now_ms < tonumber(known[2]) then return {'MOVING', epoch} end
  end

  local scopes = {}
  for i = 5, #keys do
    local scope = read_scope(keys[i], now_ms)
    if not scope then return {'NO_KEY', epoch} end
    if scope.is_disabled and not force then return {'KEY_DISABLED', epoch} end
    if scope.expires_s ~= '' and tonumber(scope.expires_s) * 1000 <= now_ms and not force then return {'KEY_EXPIRED', epoch} end
    scopes[#scopes + 1] = scope
  end

  if add(keys[2], 'avail', neg(amount)) < 0 and not force then
    undo()
    return {'SHORT_BALANCE', epoch, redis.call('HGET', keys[2], 'avail')}
  end
  add(keys[2], 'held', amount)
  for _, scope in ipairs(scopes) do
    if scope.limit ~= '' and add(scope.key, 'free', neg(amount)) < 0 and not force then
      undo()
      return {'SHORT_KEY', epoch, redis.call('HGET', scope.key, 'free')}
    end
    add(scope.key, 'held', amount)
  end
  redis.call('HSET', keys[3], event, amount .. ' 0 ' .. args[7] .. ' ' .. args[8])
  redis.call('ZADD', keys[4], now_ms + tonumber(args[5]), org .. ':' .. event)
  return {'OK', epoch}
end
