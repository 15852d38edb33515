-- Close a hold (if it is still there), charge the amount and append the event to the stream.
-- KEYS: epoch, balance, holds, deadlines, stream, scope…
-- ARGV: run, org, event, amount, scope ids, event as JSON, hold as the caller knows it, that hold − amount
-- Returns the first missing thing (NO_ORG, NO_KEY) or nil when done. Deletions come last: sums can be undone, deletions cannot.
local function close(epoch, hold)
  local org, event, amount = ARGV[2], ARGV[3], ARGV[4]
  if redis.call('HEXISTS', KEYS[2], 'seq') == 0 then return 'NO_ORG' end
  local now_ms = server_ms()
  local scopes = {}
  for i = 6, #KEYS do
    local scope = read_scope(KEYS[i], now_ms)
    if not scope then return 'NO_KEY' end
    scopes[#scopes + 1] = scope
  end

  local held = hold and string.match(hold, '^(%d+) ') or '0'
  local rest = held == ARGV[7] and ARGV[8] or nil
  if held ~= '0' then add(KEYS[2], 'held', neg(held)) end
  exchange(KEYS[2], 'avail', held, amount, rest)
  add(KEYS[2], 'unposted', amount)
  for _, scope in ipairs(scopes) do
    if held ~= '0' then add(scope.key, 'held', neg(held)) end
    local counts = count(scope, event, amount)
    if scope.limit ~= '' then
      if counts then exchange(scope.key, 'free', held, amount, rest) else add(scope.key, 'free', held) end
    end
  end
  local key_id = string.match(ARGV[5], '^%d+')
  redis.call('XADD', KEYS[5], '*', 'id', event, 'org', org, 'key', key_id, 'amt', amount, 'ep', epoch, 'd', ARGV[6])
  if hold then
    redis.call('HDEL', KEYS[3], event)
    redis.call('ZREM', KEYS[4], org .. ':' .. event)
  end
  return nil
end
