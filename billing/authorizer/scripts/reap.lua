-- Close a hold whose gateway went silent, at the cost of its last heartbeat. The event was written from `seen`, the hold as it was
-- read a moment ago: if it changed since, or a heartbeat renewed it, or the gateway settled it, nothing happens.
-- KEYS: epoch, balance, holds, deadlines, stream, scope…   ARGV: run, org, event, amount, scope ids, event as JSON, seen
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
if hold ~= ARGV[7] then return {'CHANGED', epoch} end
local missing = missing_scope()
if missing then return {missing, epoch} end
close(epoch, ARGV[2], ARGV[3], hold, ARGV[4], ARGV[5], ARGV[6])
return {'OK', epoch}
