-- Write the rules of a key: with its counters from the books if the store has none (mode 'absent'), or the rules alone when they are
-- newer than the store's (mode 'update'), where `free` follows the new limit.
-- KEYS: epoch, scope, index
-- ARGV: run, epoch the books were read in ('' for any), mode, index member, version, limit, reset, disabled, expires_s,
--       spent, day, base_d, week, base_w, month, base_m (the last seven in mode 'absent' only)
-- Replies: OK; PRESENT (this version, or mode 'absent' and there is one); NEWER (the store's is); ABSENT (update: whoever loads the scope must have
-- read at least this version); STALE; EPOCH
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch or (ARGV[2] ~= '' and ARGV[2] ~= epoch) then return 'EPOCH' end
local before = redis.call('HMGET', KEYS[2], 'version', 'floor')
local version, limit, reset = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local rules = {'version', ARGV[5], 'limit', limit, 'reset', reset, 'disabled', ARGV[8], 'expires_s', ARGV[9]}

if ARGV[3] == 'update' then
  if not before[1] then
    if version > tonumber(before[2] or '-1') then redis.call('HSET', KEYS[2], 'floor', ARGV[5]) end
    redis.call('SADD', KEYS[3], ARGV[4])
    return 'ABSENT'
  end
  if version < tonumber(before[1]) then return 'NEWER' end
  if version == tonumber(before[1]) then return 'PRESENT' end
  read_scope(KEYS[2], server_ms()) -- the old rules end the old periods
  redis.call('HSET', KEYS[2], unpack(rules))
else
  if before[1] then return 'PRESENT' end
  if before[2] and version < tonumber(before[2]) then return 'STALE' end
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], unpack(rules))
  redis.call('HSET', KEYS[2], 'held', '0', 'spent', ARGV[10], 'day', ARGV[11], 'base_d', ARGV[12], 'week', ARGV[13], 'base_w', ARGV[14],
    'month', ARGV[15], 'base_m', ARGV[16])
  redis.call('SADD', KEYS[3], ARGV[4])
end

if limit == '' then
  redis.call('HDEL', KEYS[2], 'free')
else
  local base = ({daily = 'base_d', weekly = 'base_w', monthly = 'base_m'})[reset]
  local counted = redis.call('HMGET', KEYS[2], 'spent', 'held', base or 'none')
  redis.call('HSET', KEYS[2], 'free', limit)
  redis.call('HINCRBY', KEYS[2], 'free', neg(counted[1]))
  redis.call('HINCRBY', KEYS[2], 'free', neg(counted[2]))
  if base then redis.call('HINCRBY', KEYS[2], 'free', counted[3]) end
end
return 'OK'
