-- Hold what a gateway asks for in one turn, with one sum per field for each group: what one organization and key has in it.
-- KEYS: epoch, deadlines, then balance, holds and scope of each group
-- ARGV: run, ttl_ms, then of each group: org, key id, count, sum, and of each request in it: event, amount, context
-- Replies: {OK, epoch, then of each request OK, its error, or else the whole reply of reserve.lua}; {EPOCH} did nothing.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local ttl_ms = ARGV[2]
local reply = {'OK', epoch}

-- Hold all of a group. Nil, and nothing is done, unless every request of it is new and admitted: one that is not covered is found by
-- the sum, since amounts are never negative.
local function take_group(balance, holds, key, at, first, last)
  local sum = ARGV[at + 3]
  if #sum > 18 then return nil end -- near 64 bits, where a sum can be taken and not given back
  local known = redis.call('HMGET', balance, 'seq', 'frozen')
  if not known[1] or known[2] then return nil end
  local events, seen = {}, {}
  for i = first, last, 3 do
    local event = ARGV[i]
    if seen[event] then return nil end
    seen[event] = true
    events[#events + 1] = event
  end
  for _, hold in ipairs(redis.call('HMGET', holds, unpack(events))) do
    if hold then return nil end
  end
  local now_ms = server_ms()
  local scope = read_scope(key, now_ms)
  if not scope or scope.is_disabled then return nil end
  if scope.expires_s ~= '' and tonumber(scope.expires_s) * 1000 <= now_ms then return nil end

  if add(balance, 'avail', neg(sum)) < 0 then return nil end
  add(balance, 'held', sum)
  if scope.limit ~= '' and add(key, 'free', neg(sum)) < 0 then return nil end
  add(key, 'held', sum)

  local org, deadline = ARGV[at], now_ms + tonumber(ttl_ms)
  local fresh, deadlines = {}, {}
  for n, event in ipairs(events) do
    local i = first + 3 * (n - 1)
    fresh[2 * n - 1], fresh[2 * n] = event, ARGV[i + 1] .. ' 0 ' .. ARGV[at + 1] .. ' ' .. ARGV[i + 2]
    deadlines[2 * n - 1], deadlines[2 * n] = deadline, org .. ':' .. event
  end
  redis.call('ZADD', KEYS[2], unpack(deadlines))
  redis.call('HSET', holds, unpack(fresh))
  return true
end

local at = 3
for group = 3, #KEYS, 3 do
  local balance, holds, key = KEYS[group], KEYS[group + 1], KEYS[group + 2]
  local org, key_id, first = ARGV[at], ARGV[at + 1], at + 4
  local last = first + 3 * (tonumber(ARGV[at + 2]) - 1)
  local is_sound, is_taken = pcall(take_group, balance, holds, key, at, first, last)
  if is_sound and is_taken then
    for _ = first, last, 3 do reply[#reply + 1] = 'OK' end
  else
    undo()
    -- One by one, so that as many as fit are admitted. What fails here concerns itself alone.
    local keys = {KEYS[1], balance, holds, KEYS[2], key}
    for i = first, last, 3 do
      local args = {ARGV[1], org, ARGV[i], ARGV[i + 1], ttl_ms, '0', key_id, ARGV[i + 2]}
      local _, one = pcall(take, epoch, keys, args)
      reply[#reply + 1] = one.err or one
      journal = {}
    end
  end
  journal = {}
  at = last + 3
end
return reply
