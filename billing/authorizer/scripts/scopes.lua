-- A scope is a counter with an optional limit per period: an API key, later a budget or a workspace. All share one hash layout.
local MS_PER_DAY = 86400000

-- Weeks start on Monday; day 0 (1970-01-01) was a Thursday.
local function week_of(day) return math.floor((day + 3) / 7) end

-- Months since year 0, by the civil-from-days algorithm.
local function month_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (month <= 2 and 1 or 0)) * 12 + month - 1
end

-- Begin new periods when the day of the server's clock is later than the one the counters stand in. Never backwards: a clock that
-- is set back must not give a limit twice.
local function roll(key, stored_day, today)
  if tonumber(stored_day) >= today then return end
  local s = redis.call('HMGET', key, 'week', 'month', 'limit', 'reset', 'held')
  local week, month = tostring(week_of(today)), tostring(month_of(today))
  local over = s[4] == 'daily'
  redis.call('HSET', key, 'day', tostring(today), 'spent_d', '0')
  if s[1] ~= week then
    redis.call('HSET', key, 'week', week, 'spent_w', '0')
    over = over or s[4] == 'weekly'
  end
  if s[2] ~= month then
    redis.call('HSET', key, 'month', month, 'spent_m', '0')
    over = over or s[4] == 'monthly'
  end
  if over and s[3] ~= '' then
    redis.call('HSET', key, 'free', s[3])
    redis.call('HINCRBY', key, 'free', neg(s[5]))
  end
end

-- Count an amount (negative to take back). It belongs to the periods in which the request began, which its id (UUIDv7) tells, so
-- that these counters equal the books' rollups; an id from a clock ahead of the server's counts as today.
local function charge(key, event, amount)
  local s = redis.call('HMGET', key, 'day', 'week', 'month', 'limit', 'reset')
  local stored = tonumber(s[1])
  local day = math.min(math.floor(tonumber(string.sub(event, 1, 12), 16) / MS_PER_DAY), stored)
  local in_day = day == stored
  local in_week = in_day or tostring(week_of(day)) == s[2]
  local in_month = in_day or tostring(month_of(day)) == s[3]
  add(key, 'spent', amount)
  if in_day then add(key, 'spent_d', amount) end
  if in_week then add(key, 'spent_w', amount) end
  if in_month then add(key, 'spent_m', amount) end
  local reset = s[5]
  local counts = reset == '' or (reset == 'daily' and in_day) or (reset == 'weekly' and in_week) or (reset == 'monthly' and in_month)
  if s[4] ~= '' and counts then add(key, 'free', neg(amount)) end
end

-- Release a hold of this scope.
local function release(key, held)
  add(key, 'held', neg(held))
  if redis.call('HGET', key, 'limit') ~= '' then add(key, 'free', held) end
end
