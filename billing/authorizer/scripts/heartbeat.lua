-- Renew the deadlines of running requests and note what each has cost so far, which is what the reaper charges.
-- KEYS: epoch, deadlines, then the holds hash of each request   ARGV: run, ttl_ms, then org, event, spent of each
-- Reply: {OK, epoch, 1 | 0 for each}: 0 means that the store does not know the hold any more. {EPOCH}
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local deadline = server_ms() + tonumber(ARGV[2])
local reply = {'OK', epoch}
for i = 3, #KEYS do
  local at = 3 * (i - 2)
  local org, event, spent = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local hold = redis.call('HGET', KEYS[i], event)
  if hold then
    local held, before, rest = string.match(hold, '^(%d+) (%d+)( .*)$')
    if before ~= spent then redis.call('HSET', KEYS[i], event, held .. ' ' .. spent .. rest) end
    redis.call('ZADD', KEYS[2], deadline, org .. ':' .. event)
    reply[i] = 1
  else
    reply[i] = 0
  end
end
return reply
