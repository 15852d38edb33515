-- The books have these stream entries at the amounts they were charged: forget them.
-- KEYS: stream, then the balance of each organization
-- ARGV: for each organization: number of entries, their sum, then stream id and amount of each
-- Reply: how many were acknowledged by this call. Works in a closed epoch too: a rebuild drains the stream first.
local at, total = 1, 0
for i = 2, #KEYS do
  local count, sum = tonumber(ARGV[at]), ARGV[at + 1]
  at = at + 2
  local fresh = {}
  for j = at, at + 2 * count - 1, 2 do
    if redis.call('XDEL', KEYS[1], ARGV[j]) == 1 then fresh[#fresh + 1] = ARGV[j + 1] end
  end
  at = at + 2 * count
  total = total + #fresh
  if #fresh > 0 and redis.call('HEXISTS', KEYS[i], 'seq') == 1 then
    if #fresh == count then
      add(KEYS[i], 'unposted', neg(sum))
    else -- a call before this one died half-way
      for _, amount in ipairs(fresh) do add(KEYS[i], 'unposted', neg(amount)) end
    end
  end
  journal = {}
end
return total
