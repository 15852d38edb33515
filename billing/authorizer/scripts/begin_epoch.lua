-- Open a rebuilt shard. KEYS: epoch   ARGV: the run on which it was rebuilt   Reply: the new epoch, or RESTARTED
-- Not below the server's clock (milliseconds), so that a store that lost even its epoch does not count from one again.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run ~= ARGV[1] then return 'RESTARTED' end
local last = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
local n = string.format('%d', math.max(last + 1, server_ms()))
redis.call('HSET', KEYS[1], 'n', n, 'run', run)
return n
