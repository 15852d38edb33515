-- Hold for requests that run what their gateway had set aside: money moves from one hold to others, and no sum changes.
-- KEYS: epoch, balance, holds, deadlines, scope
-- ARGV: run, ttl_ms, org, key id, lease, its total before and after, then of each request: event, amount, context
-- The totals are the gateway's: it alone draws from its lease, and they tell whether the store has heard of every draw before.
-- Replies: {OK | STOP, epoch}, done; STOP: nothing more may begin, since the key or the organization's spending is switched off, or its
-- balance or the key's limit was lowered below what is held.
-- {DRY, epoch}, {EPOCH}: nothing was done, the lease is gone or not what the gateway thinks.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local org, lease = ARGV[3], ARGV[5]
local held, more = string.match(redis.call('HGET', KEYS[3], lease) or '', '^(%d+)( .*)$')
if held ~= ARGV[6] then return {'DRY', epoch} end

local now_ms = server_ms()
local deadline = now_ms + tonumber(ARGV[2])
local events = {}
local fresh, deadlines = {lease, ARGV[7] .. more}, {deadline, org .. ':' .. lease}
for i = 8, #ARGV, 3 do
  local n, event = #fresh, ARGV[i]
  events[#events + 1] = event
  fresh[n + 1], fresh[n + 2] = event, ARGV[i + 1] .. ' 0 ' .. ARGV[4] .. ' ' .. ARGV[i + 2]
  deadlines[n + 1], deadlines[n + 2] = deadline, org .. ':' .. event
end
for _, hold in ipairs(redis.call('HMGET', KEYS[3], unpack(events))) do
  if hold then return {'DRY', epoch} end
end
redis.call('ZADD', KEYS[4], unpack(deadlines))
redis.call('HSET', KEYS[3], unpack(fresh))

local balance, scope = redis.call('HMGET', KEYS[2], 'frozen', 'avail'), redis.call('HMGET', KEYS[5], 'disabled', 'expires_s', 'free')
local function is_below_zero(amount) return amount and string.sub(amount, 1, 1) == '-' end
local is_off = scope[1] == '1' or scope[2] and scope[2] ~= '' and tonumber(scope[2]) * 1000 <= now_ms
local is_frozen = balance[1] and (balance[1] == '1' or now_ms < tonumber(balance[1]))
if is_off or is_frozen or is_below_zero(balance[2]) or is_below_zero(scope[3]) then return {'STOP', epoch} end
return {'OK', epoch}
