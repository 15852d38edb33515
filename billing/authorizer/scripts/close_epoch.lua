-- Stop all spending on a shard: from here on every script answers EPOCH until begin_epoch. The number stays, so that it only grows.
-- KEYS: epoch   Reply: the run of the server, which begin_epoch must still find.
redis.call('HSET', KEYS[1], 'run', '')
return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
