-- Close the hold, charge the amount, append the event to the stream: one step.
-- KEYS and ARGV as keys and args of close.lua, then ARGV: late
-- Replies: {OK, epoch} closed a hold; {LATE, epoch} charged without one (late = 1 only: the books take a double charge back by the
-- event's id); {GONE | NO_ORG | NO_KEY, epoch} and {EPOCH} did nothing.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local hold = redis.call('HGET', KEYS[3], ARGV[3])
if not hold and ARGV[9] ~= '1' then return {'GONE', epoch} end
return {close(epoch, hold, KEYS, ARGV) or (hold and 'OK' or 'LATE'), epoch}
