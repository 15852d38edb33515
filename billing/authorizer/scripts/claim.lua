-- Let one request run under a name that its client chose, so that a repetition is not charged a second time.
-- KEYS: epoch, holds, claim   ARGV: run, event, digest of the request, how long a claim lasts (s), patience with a lost request (ms)
-- Replies: {CLAIMED, event, turn} run it under this event; {OTHER, event} the name stands for another request; {RUNNING, event};
-- {DONE, event}; {EPOCH}
-- A request whose hold is gone and which nobody ended has lost its gateway. Whoever repeats it then takes its event over: the books
-- charge an event once, and what the reaper charged for it is part of that.
local epoch = open_epoch(KEYS[1], ARGV[1])
if not epoch then return {'EPOCH'} end
local claim = redis.call('HMGET', KEYS[3], 'event', 'digest', 'done', 'lost_ms')
if not claim[1] then
  redis.call('HSET', KEYS[3], 'event', ARGV[2], 'digest', ARGV[3])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
  return {'CLAIMED', ARGV[2], '0'}
end
if claim[2] ~= ARGV[3] then return {'OTHER', claim[1]} end
if claim[3] then return {'DONE', claim[1]} end
if redis.call('HEXISTS', KEYS[2], claim[1]) == 1 then
  redis.call('HDEL', KEYS[3], 'lost_ms')
  return {'RUNNING', claim[1]}
end
local now_ms = server_ms()
if claim[4] and now_ms - tonumber(claim[4]) >= tonumber(ARGV[5]) then
  redis.call('HDEL', KEYS[3], 'lost_ms')
  return {'CLAIMED', claim[1], tostring(redis.call('HINCRBY', KEYS[3], 'turn', 1))}
end
if not claim[4] then redis.call('HSET', KEYS[3], 'lost_ms', string.format('%d', now_ms)) end
return {'RUNNING', claim[1]}
