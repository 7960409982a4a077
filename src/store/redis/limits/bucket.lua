-- What the scripts that count have in common: the clock, and the arithmetic of src/limits/bucket.rs. It stands before each of
-- them.
--
-- Nanoseconds of ten years are more than a double can hold, so a time is two numbers: whole seconds, and the nanoseconds
-- beside them; or none and all of its nanoseconds, where that is known to be little enough. What is kept of a bucket is
-- `MOMENT DEBT INTERVAL FILL`: microseconds since 1970 by the clock of Redis, and nanoseconds: until it is full, for one unit
-- to come back, and what the whole bucket holds.

local SECOND = 1e9

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
local moment = string.format('%d', now)

local function split(text)
  local cut = #text - 9
  if cut <= 0 then
    return 0, tonumber(text)
  end
  return tonumber(string.sub(text, 1, cut)), tonumber(string.sub(text, cut + 1))
end

local function join(s, n)
  if s == nil or s == 0 then
    return string.format('%d', n)
  end
  return string.format('%d%09d', s, n)
end

local function less(as, an, bs, bn)
  return as < bs or (as == bs and an < bn)
end

local function sum(as, an, bs, bn)
  local s, n = as + bs, an + bn
  if n >= SECOND then
    return s + 1, n - SECOND
  end
  return s, n
end

-- Never below nought.
local function rest(as, an, bs, bn)
  if less(as, an, bs, bn) then
    return 0, 0
  end
  local s, n = as - bs, an - bn
  if n < 0 then
    return s - 1, n + SECOND
  end
  return s, n
end

-- A time that is `by` for every `of`, rounded down: by long division, which is rarely wanted. What it is made of is made then,
-- for Redis makes every function anew for each call.
local function scaled(s, n, by, of)
  -- The lowest first.
  local function bits(s, n)
    local found = {}
    while s > 0 or n > 0 do
      local bit, odd = n % 2, s % 2
      found[#found + 1] = bit
      s, n = (s - odd) / 2, (n - bit) / 2 + odd * 5e8
    end
    return found
  end

  -- `number` (its bits) times what is `q` times `of` and `r` beside, told the same way.
  local function times(number, qs, qn, rs, rn, os, on)
    local ts, tn, us, un = 0, 0, 0, 0
    local function carry()
      if not less(us, un, os, on) then
        us, un = rest(us, un, os, on)
        ts, tn = sum(ts, tn, 0, 1)
      end
    end
    for at = #number, 1, -1 do
      ts, tn = sum(ts, tn, ts, tn)
      us, un = sum(us, un, us, un)
      carry()
      if number[at] == 1 then
        ts, tn = sum(ts, tn, qs, qn)
        us, un = sum(us, un, rs, rn)
        carry()
      end
    end
    return ts, tn, us, un
  end

  local os, on = split(of)
  local one = os == 0 and on <= 1 and 1 or 0
  on = math.max(on, one)
  local qs, qn, rs, rn = times(bits(s, n), 0, one, 0, 1 - one, os, on)
  local ts, tn = times(bits(split(by)), qs, qn, rs, rn, os, on)
  return ts, tn
end

local KEPT = '^(%d+) (%d+) (%d+) (%d+)$'

-- What is owed now of a bucket as it was kept; a full one where nothing was. Under another limit than it was kept under it
-- holds as many units as it held. A clock that went back since brings nothing back; then it says so, and whoever can write
-- keeps it anew as of now, or nothing would come back before that clock has caught up, which may take years.
local function owed(kept, interval, fill)
  local at, debt, was, whole = string.match(kept or '', KEPT)
  if not at then
    return 0, 0
  end
  local s, n = split(debt)
  local gone = now - tonumber(at)
  local is_ahead = gone < 0
  if gone > 0 then
    local seconds = math.floor(gone / 1e6)
    s, n = rest(s, n, seconds, (gone - seconds * 1e6) * 1000)
  end
  if (s == 0 and n == 0) or (was == interval and whole == fill) then
    return s, n, is_ahead
  end
  local ws, wn = split(whole)
  local ls, ln = rest(ws, wn, s, n)
  ls, ln = scaled(ls, ln, interval, was)
  local fs, fn = split(fill)
  s, n = rest(fs, fn, ls, ln)
  return s, n, is_ahead
end

-- Goes by itself a second after it is full, when nobody who asks can believe that it owes anything any more.
local function keep(key, s, n, interval, fill)
  local debt = join(s, n)
  local kept = moment .. ' ' .. debt .. ' ' .. interval .. ' ' .. fill
  redis.call('SET', key, kept, 'PX', string.format('%d', (s or 0) * 1000 + math.ceil(n / 1e6) + 1000))
  return debt
end

local DAY = 86400e6

-- What is kept of a day is `DAY REQUESTS BYTES`; a day is counted since 1970. One that is ahead by more than a day was counted
-- by a wrong clock: it counts today, as in src/limits/limiter.rs, and whoever can write keeps it so.
local function used(kept)
  local day, requests, bytes = string.match(kept or '', '^(%d+) (%d+) (%d+)$')
  if not day then
    return nil, 0, 0
  end
  local today = math.floor(now / DAY)
  local is_wrong = tonumber(day) > today + 1
  return is_wrong and today or tonumber(day), tonumber(requests), tonumber(bytes), is_wrong
end

-- Goes an hour after the day is over, so that whoever is told late finds it.
local function keep_day(key, day, requests, bytes)
  local left = math.ceil(((day + 1) * DAY - now) / 1000) + 3600e3
  if left > 0 then
    local kept = string.format('%d %d %d', day, requests, bytes)
    redis.call('SET', key, kept, 'PX', string.format('%d', left))
  end
end
