-- Close a hold (if it is still there), charge the amount and append the event to the stream.
-- keys: epoch, balance, holds, deadlines, stream, scope…
-- args: run, org, event, amount, scope ids, event as JSON, hold as the caller knows it, that hold − amount
-- Returns the first missing thing (NO_ORG, NO_KEY) or nil when done. Deletions come last: sums can be undone, deletions cannot.
local function close(epoch, hold, keys, args)
  local org, event, amount = args[2], args[3], args[4]
  if redis.call('HEXISTS', keys[2], 'seq') == 0 then return 'NO_ORG' end
  local now_ms = server_ms()
  local scopes = {}
  for i = 6, #keys do
    local scope = read_scope(keys[i], now_ms)
    if not scope then return 'NO_KEY' end
    scopes[#scopes + 1] = scope
  end

  local held = hold and string.match(hold, '^(%d+) ') or '0'
  local rest = held == args[7] and args[8] or nil
  if held ~= '0' then add(keys[2], 'held', neg(held)) end
  exchange(keys[2], 'avail', held, amount, rest)
  add(keys[2], 'unposted', amount)
  for _, scope in ipairs(scopes) do
    if held ~= '0' then add(scope.key, 'held', neg(held)) end
    local counts = count(scope, event, amount)
    if scope.limit ~= '' then
      if counts then exchange(scope.key, 'free', held, amount, rest) else add(scope.key, 'free', held) end
    end
  end
  local key_id = string.match(args[5], '^%d+')
  redis.call('XADD', keys[5], '*', 'id', event, 'org', org, 'key', key_id, 'amt', amount, 'ep', epoch, 'd', args[6])
  if hold then
    redis.call('HDEL', keys[3], event)
    redis.call('ZREM', keys[4], org .. ':' .. event)
  end
  return nil
end
