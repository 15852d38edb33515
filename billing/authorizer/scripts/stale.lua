-- Which of these shards wait for a rebuild: no epoch, a closed one, or one of another run of the server. KEYS: their epochs
-- Reply: their positions, from 1.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local stale = {}
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'run') ~= run then stale[#stale + 1] = i end
end
return stale
