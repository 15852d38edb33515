-- Refuse new requests of an organization, or admit them again. Requests that run go on: they settle as usual.
-- KEYS: epoch, balance   ARGV: run, '1' to freeze, '0' to thaw, '+ms' to pause for a move, which ends by itself, 'go on' to end the pause
-- and nothing else   Replies: OK; ABSENT (no balance is loaded; ask again); EPOCH
if not open_epoch(KEYS[1], ARGV[1]) then return 'EPOCH' end
if redis.call('HEXISTS', KEYS[2], 'seq') == 0 then return 'ABSENT' end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[2], 'frozen', '1')
elseif ARGV[2] == '0' then
  redis.call('HDEL', KEYS[2], 'frozen')
elseif redis.call('HGET', KEYS[2], 'frozen') ~= '1' then
  if ARGV[2] == 'go on' then
    redis.call('HDEL', KEYS[2], 'frozen')
  else
    redis.call('HSET', KEYS[2], 'frozen', string.format('%d', server_ms() + tonumber(ARGV[2])))
  end
end
return 'OK'
