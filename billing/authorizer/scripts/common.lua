-- Shared head of every script. Amounts are decimal strings of nanos. Lua's numbers are doubles, so an amount is never added or
-- compared here: HINCRBY sums in 64 bits and only the sign of its reply is used.
local journal = {}

-- '-0' is not an integer to the server, and zero amounts are normal (free models).
local function neg(amount)
  if amount == '0' then return '0' end
  if string.sub(amount, 1, 1) == '-' then return string.sub(amount, 2) end
  return '-' .. amount
end

-- Take back every sum of this call: all scopes or none.
local function undo()
  for i = #journal, 1, -3 do redis.call('HINCRBY', journal[i - 2], journal[i - 1], neg(journal[i])) end
  journal = {}
end

-- Add to a field and return the sum, of which only the sign is exact. Beyond 64 bits the whole call is undone and refused.
local function add(key, field, amount)
  local sum = redis.pcall('HINCRBY', key, field, amount)
  if type(sum) == 'table' then
    undo()
    error({err = 'OVERFLOW ' .. field .. ' would leave 64 bits'})
  end
  local n = #journal
  journal[n + 1], journal[n + 2], journal[n + 3] = key, field, amount
  return sum
end

-- The number of the epoch if it was made on this very run of the server, else nil: a restarted server may have forgotten the last
-- second, so nobody spends on it before the rebuild. An empty run asks the server itself (callers that share connections).
local function open_epoch(key, run)
  local epoch = redis.call('HMGET', key, 'n', 'run')
  if run == '' then run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end
  if not epoch[1] or epoch[2] ~= run then return nil end
  return epoch[1]
end

local function server_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
