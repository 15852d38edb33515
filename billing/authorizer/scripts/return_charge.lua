-- Give back a charge that the books will never take: its stream entry was refused and an operator has dealt with it.
-- KEYS: epoch, balance, scope   ARGV: run, event, amount   Replies: OK; ABSENT (nothing is loaded: the books alone tell); EPOCH
if not open_epoch(KEYS[1], ARGV[1]) then return 'EPOCH' end
if redis.call('HEXISTS', KEYS[2], 'seq') == 0 then return 'ABSENT' end
add(KEYS[2], 'unposted', neg(ARGV[3]))
add(KEYS[2], 'avail', ARGV[3])
local scope = read_scope(KEYS[3], server_ms())
if scope and count(scope, ARGV[2], neg(ARGV[3])) and scope.limit ~= '' then add(scope.key, 'free', ARGV[3]) end
return 'OK'
