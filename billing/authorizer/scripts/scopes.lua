-- A scope is a counter with an optional limit per period: an API key, later a budget or a workspace. All share one hash layout:
-- spent (all time), base_d, base_w, base_m (what `spent` was when the present day, week and month began, so that a charge is one
-- sum), held, and free = limit − spent in the limit's period − held (only if there is a limit).
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
local function roll(scope, today)
  if scope.day >= today then return end
  local key = scope.key
  local s = redis.call('HMGET', key, 'week', 'month', 'held', 'spent')
  local week, month = tostring(week_of(today)), tostring(month_of(today))
  local over = scope.reset == 'daily'
  redis.call('HSET', key, 'day', tostring(today), 'base_d', s[4])
  if s[1] ~= week then
    redis.call('HSET', key, 'week', week, 'base_w', s[4])
    over = over or scope.reset == 'weekly'
  end
  if s[2] ~= month then
    redis.call('HSET', key, 'month', month, 'base_m', s[4])
    over = over or scope.reset == 'monthly'
  end
  if over and scope.limit ~= '' then
    redis.call('HSET', key, 'free', scope.limit)
    redis.call('HINCRBY', key, 'free', neg(s[3]))
  end
  scope.day = today
end

-- Read what decisions need, in its present period. Nil if the store does not have the scope.
local function read_scope(key, now_ms)
  local s = redis.call('HMGET', key, 'version', 'day', 'limit', 'reset', 'disabled', 'expires_s')
  if not s[1] then return nil end
  local scope = {key = key, day = tonumber(s[2]), limit = s[3], reset = s[4], is_disabled = s[5] == '1', expires_s = s[6]}
  roll(scope, math.floor(now_ms / MS_PER_DAY))
  return scope
end

-- Count an amount (negative to take back) and tell whether it counts against the limit's present period. It belongs to the periods
-- in which the request began, which its id (UUIDv7) tells, so that these counters equal the books' rollups; an id from a clock
-- ahead of the server's counts as today.
local function count(scope, event, amount)
  local key = scope.key
  add(key, 'spent', amount)
  local day = math.floor(tonumber(string.sub(event, 1, 12), 16) / MS_PER_DAY)
  if day >= scope.day then return true end
  local in_week, in_month = week_of(day) == week_of(scope.day), month_of(day) == month_of(scope.day)
  add(key, 'base_d', amount)
  if not in_week then add(key, 'base_w', amount) end
  if not in_month then add(key, 'base_m', amount) end
  return scope.reset == '' or (scope.reset == 'weekly' and in_week) or (scope.reset == 'monthly' and in_month)
end

-- Return what was held and take the amount. One sum when the caller knew the hold and could subtract exactly (rest).
local function exchange(key, field, held, amount, rest)
  if held == amount then return end
  if rest then
    add(key, field, rest)
  else
    add(key, field, held)
    add(key, field, neg(amount))
  end
end
