-- Settle what a gateway settled in one turn, with one sum per field for each group: what one organization and key has in it.
-- KEYS: epoch, deadlines, stream, then balance, holds and scope of each group
-- ARGV: run, then of each group: org, key id, count, sums (holds as the caller knows them; amounts; holds − amounts), and
--       of each settlement in it: event, amount, event as JSON, hold as the caller knows it, that hold − amount
-- Replies: {OK, epoch, then of each settlement what settle.lua says, or its error}; {EPOCH} did nothing.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local now_ms = server_ms()
local reply = {'OK', epoch}

-- Take the sums of a group as the caller made them, which is right when each hold is as the caller knew it, nothing is named twice and
-- all of it counts into the present periods. Returns the events then, else nil, and nothing was done.
local function take_sums(balance, holds, key, at, first, last)
  local held, amount, rest = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if #held > 18 or #amount > 18 then return nil end -- near 64 bits, where a sum can be taken and not given back
  if redis.call('HEXISTS', balance, 'seq') == 0 then return nil end
  local events, seen = {}, {}
  for i = first, last, 5 do
    local event = ARGV[i]
    if seen[event] then return nil end
    seen[event] = true
    events[#events + 1] = event
  end
  for n, hold in ipairs(redis.call('HMGET', holds, unpack(events))) do
    local known = ARGV[first + 5 * n - 2] .. ' '
    if not hold or string.sub(hold, 1, #known) ~= known then return nil end
  end
  local scope = read_scope(key, now_ms)
  if not scope then return nil end
  local today = string.format('%012x', scope.day * MS_PER_DAY)
  for _, event in ipairs(events) do
    if event < today then return nil end
  end
  if held ~= '0' then
    add(balance, 'held', neg(held))
    add(key, 'held', neg(held))
  end
  if amount ~= '0' then
    add(balance, 'unposted', amount)
    add(key, 'spent', amount)
  end
  if rest ~= '0' then
    add(balance, 'avail', rest)
    if scope.limit ~= '' then add(key, 'free', rest) end
  end
  return events
end

local function append(events, holds, org, key_id, first)
  local members = {}
  for n, event in ipairs(events) do
    local i = first + 5 * (n - 1)
    redis.call('XADD', KEYS[3], '*', 'id', event, 'org', org, 'key', key_id, 'amt', ARGV[i + 1], 'ep', epoch, 'd', ARGV[i + 2])
    members[n] = org .. ':' .. event
    reply[#reply + 1] = 'OK'
  end
  redis.call('HDEL', holds, unpack(events))
  redis.call('ZREM', KEYS[2], unpack(members))
end

-- As settle.lua does it. What fails here concerns itself alone.
local function settle_alone(keys, args)
  local hold = redis.call('HGET', keys[3], args[3])
  return hold and (close(epoch, hold, keys, args) or 'OK') or 'GONE'
end

local at = 2
for group = 4, #KEYS, 3 do
  local balance, holds, key = KEYS[group], KEYS[group + 1], KEYS[group + 2]
  local org, key_id, first = ARGV[at], ARGV[at + 1], at + 6
  local last = first + 5 * (tonumber(ARGV[at + 2]) - 1)
  local is_taken, events = pcall(take_sums, balance, holds, key, at, first, last)
  if is_taken and events then
    append(events, holds, org, key_id, first)
  else
    undo()
    local keys = {KEYS[1], balance, holds, KEYS[2], KEYS[3], key}
    for i = first, last, 5 do
      local args = {ARGV[1], org, ARGV[i], ARGV[i + 1], key_id, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]}
      local _, status = pcall(settle_alone, keys, args)
      reply[#reply + 1] = type(status) == 'table' and status.err or status
      journal = {}
    end
  end
  journal = {}
  at = last + 5
end
return reply
