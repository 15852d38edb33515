-- Close the hold, charge the amount, append the event to the stream: one step.
-- KEYS: epoch, balance, holds, deadlines, stream, scope…   ARGV: run, org, event, amount, scope ids, event as JSON, late
-- Replies: {OK, epoch} closed a hold; {LATE, epoch} charged without one (late = 1 only: the books take a double charge back by the
-- event's id); {GONE | NO_ORG | NO_KEY, epoch} and {EPOCH} did nothing.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local missing = missing_scope()
if missing then return {missing, epoch} end
local hold = redis.call('HGET', KEYS[3], ARGV[3])
if not hold and ARGV[7] ~= '1' then return {'GONE', epoch} end
close(epoch, ARGV[2], ARGV[3], hold, ARGV[4], ARGV[5], ARGV[6])
return {hold and 'OK' or 'LATE', epoch}
