-- Close a hold (if it is still there), charge the amount and append the event to the stream. KEYS: epoch, balance, holds,
-- deadlines, stream, scope… Deletions come last: sums can be undone, deletions cannot.
local FIRST_SCOPE = 6

local function missing_scope()
  if redis.call('HEXISTS', KEYS[2], 'seq') == 0 then return 'NO_ORG' end
  for i = FIRST_SCOPE, #KEYS do
    if redis.call('HEXISTS', KEYS[i], 'version') == 0 then return 'NO_KEY' end
  end
  return nil
end

local function close(epoch, org, event, hold, amount, scopes, json)
  local today = math.floor(server_ms() / MS_PER_DAY)
  local held = hold and string.match(hold, '^(%d+) ')
  if held then
    add(KEYS[2], 'held', neg(held))
    add(KEYS[2], 'avail', held)
  end
  add(KEYS[2], 'avail', neg(amount))
  add(KEYS[2], 'unposted', amount)
  for i = FIRST_SCOPE, #KEYS do
    roll(KEYS[i], redis.call('HGET', KEYS[i], 'day'), today)
    if held then release(KEYS[i], held) end
    charge(KEYS[i], event, amount)
  end
  local key_id = string.match(scopes, '^%d+')
  redis.call('XADD', KEYS[5], '*', 'id', event, 'org', org, 'key', key_id, 'amt', amount, 'ep', epoch, 'd', json)
  if held then
    redis.call('HDEL', KEYS[3], event)
    redis.call('ZREM', KEYS[4], org .. ':' .. event)
  end
end
