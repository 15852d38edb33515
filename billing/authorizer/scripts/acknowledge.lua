-- The books have these stream entries: forget them, and give back what they say was charged twice.
-- KEYS: stream, then balance and key scope of each entry   ARGV: then stream id, amount, refund of each (either may be signed)
-- Reply: how many were acknowledged by this call. Works in a closed epoch too: a rebuild drains the stream first.
local done = 0
for i = 1, #ARGV / 3 do
  local id, amount, refund = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local balance = KEYS[2 * i]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    if redis.call('HEXISTS', balance, 'seq') == 1 then
      add(balance, 'unposted', neg(amount))
      if refund ~= '0' then add(balance, 'avail', refund) end
    end
    local scope = refund ~= '0' and read_scope(KEYS[2 * i + 1], server_ms())
    if scope then
      -- An entry's first field is the event's id.
      if count(scope, entry[2][2], neg(refund)) and scope.limit ~= '' then add(scope.key, 'free', refund) end
    end
    redis.call('XDEL', KEYS[1], id)
    done = done + 1
    journal = {}
  end
end
return done
