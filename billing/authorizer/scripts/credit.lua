-- Apply one numbered change of an organization's balance, at most once and in order.
-- KEYS: epoch, balance, index   ARGV: run, seq, amount (signed), index member
-- Replies: APPLIED; DUPLICATE (known); GAP (an earlier one is missing); ABSENT (nobody has loaded this balance; whoever loads it must
-- have read at least this change, see put_balance); EPOCH
if not open_epoch(KEYS[1], ARGV[1]) then return 'EPOCH' end
local balance = redis.call('HMGET', KEYS[2], 'seq', 'floor')
local seq = tonumber(ARGV[2])
if not balance[1] then
  if seq > tonumber(balance[2] or '-1') then redis.call('HSET', KEYS[2], 'floor', ARGV[2]) end
  redis.call('SADD', KEYS[3], ARGV[4])
  return 'ABSENT'
end
local last = tonumber(balance[1])
if seq <= last then return 'DUPLICATE' end
if seq ~= last + 1 then return 'GAP' end
add(KEYS[2], 'avail', ARGV[3])
redis.call('HSET', KEYS[2], 'seq', ARGV[2])
return 'APPLIED'
