-- Close a hold whose gateway went silent, at the cost of its last heartbeat. The event was written from `seen`, the hold as it was
-- read a moment ago: if it changed since, or a heartbeat renewed it, or the gateway settled it, nothing happens.
-- KEYS and ARGV as keys and args of close.lua, then ARGV: seen
-- Replies: {OK | GONE | RENEWED | CHANGED | NO_ORG | NO_KEY, epoch}, {EPOCH}
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local member = ARGV[2] .. ':' .. ARGV[3]
local deadline = redis.call('ZSCORE', KEYS[4], member)
local hold = redis.call('HGET', KEYS[3], ARGV[3])
if not deadline or not hold then
  redis.call('ZREM', KEYS[4], member)
  return {'GONE', epoch}
end
if tonumber(deadline) > server_ms() then return {'RENEWED', epoch} end
if hold ~= ARGV[9] then return {'CHANGED', epoch} end
return {close(epoch, hold, KEYS, ARGV) or 'OK', epoch}
