-- Take an organization's balance from the books: if the store has none (mode 'absent'), or to close a gap (mode 'resync', under the
-- shard's lock, so that the books and `unposted` tell the same story).
-- KEYS: epoch, balance, index
-- ARGV: run, epoch the books were read in ('' for any), mode, balance, seq, index member, '1' if frozen (mode 'absent' only)
-- Replies: OK; PRESENT; STALE (the books were read before a change that the store has heard of, or it left the shard); EPOCH
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch or (ARGV[2] ~= '' and ARGV[2] ~= epoch) then return 'EPOCH' end
local before = redis.call('HMGET', KEYS[2], 'seq', 'floor', 'held', 'unposted')
if before[1] then
  if ARGV[3] ~= 'resync' then return 'PRESENT' end
  if tonumber(ARGV[5]) < tonumber(before[1]) then return 'STALE' end
  redis.call('HSET', KEYS[2], 'avail', ARGV[4], 'seq', ARGV[5])
  redis.call('HINCRBY', KEYS[2], 'avail', neg(before[3]))
  redis.call('HINCRBY', KEYS[2], 'avail', neg(before[4]))
  return 'OK'
end
-- It has just left for another shard.
if redis.call('HEXISTS', KEYS[2], 'moved') == 1 then return 'STALE' end
if before[2] and tonumber(ARGV[5]) < tonumber(before[2]) then return 'STALE' end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'avail', ARGV[4], 'held', '0', 'unposted', '0', 'seq', ARGV[5])
if ARGV[7] == '1' then redis.call('HSET', KEYS[2], 'frozen', '1') end
redis.call('SADD', KEYS[3], ARGV[6])
return 'OK'
