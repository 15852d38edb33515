-- Forget an organization that moves to another shard, if it holds nothing, waits for nothing and starts nothing.
-- KEYS: epoch, balance, holds, index, scope of each key   ARGV: run, seconds for which nobody may load it here, index members
-- Replies: OK; BUSY; EPOCH
if not open_epoch(KEYS[1], ARGV[1]) then return 'EPOCH' end
local balance = redis.call('HMGET', KEYS[2], 'seq', 'held', 'unposted', 'frozen')
if balance[1] and (balance[2] ~= '0' or balance[3] ~= '0' or not balance[4]) then return 'BUSY' end
if redis.call('HLEN', KEYS[3]) > 0 then return 'BUSY' end
redis.call('DEL', KEYS[2], KEYS[3])
for i = 5, #KEYS do redis.call('DEL', KEYS[i]) end
for i = 3, #ARGV do redis.call('SREM', KEYS[4], ARGV[i]) end
-- Until the books say where it lives now, a gateway that has not heard of it would load it here again.
redis.call('HSET', KEYS[2], 'moved', '1')
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 'OK'
