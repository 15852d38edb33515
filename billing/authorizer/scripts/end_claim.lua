-- Keep a name that a client gave for a request that was charged or answered, or free it for another.
-- KEYS: claim   ARGV: event, turn, for how long it stands for its request from now on (s), 0 to free it
-- Replies: 1; 0 when another gateway has taken the request over meanwhile, whose word counts
local claim = redis.call('HMGET', KEYS[1], 'event', 'turn')
if claim[1] ~= ARGV[1] or (claim[2] or '0') ~= ARGV[2] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'done', '1')
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 1
