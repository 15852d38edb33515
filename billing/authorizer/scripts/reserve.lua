-- Hold an amount for a request.
-- KEYS and ARGV as keys and args of take.lua
-- Replies: {OK | HELD | NO_ORG | NO_KEY | FROZEN | MOVING | KEY_DISABLED | KEY_EXPIRED, epoch}, {SHORT_BALANCE | SHORT_KEY, epoch, available}, {EPOCH}
-- force re-asserts a request that is already running: it may overdraw, and neither a switched-off key nor a freeze stops it.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
return take(epoch, KEYS, ARGV)
