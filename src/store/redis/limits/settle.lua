-- Requests that are over, or went nowhere after all: what they took comes back, what they moved is counted, and they run no
-- more.
--
-- KEYS     {postern:limits}:KIND:NAME of each rate of which something comes back; then {postern:limits}:day:KEY of each day;
--          then {postern:limits}:running:KEY of each that ended
--
-- ARGV[1]  how many rates
-- ARGV[2]  how many days
-- ARGV[3]  how many that ended
-- then     of each rate, in nanoseconds: for one unit to come back, what the bucket holds, what comes back
-- then     of each day: the day, since 1970; the requests that come back; the bytes that were moved
-- then     of each that ended: its id

local rates, days, ended = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local key, at = 0, 3

for _ = 1, rates do
  key = key + 1
  local interval, fill = ARGV[at + 1], ARGV[at + 2]
  local kept = redis.call('GET', KEYS[key])
  if kept then
    local ts, tn = split(ARGV[at + 3])
    local s, n = owed(kept, interval, fill)
    s, n = rest(s, n, ts, tn)
    keep(KEYS[key], s, n, interval, fill)
  end
  at = at + 3
end

for _ = 1, days do
  key = key + 1
  local day, back, moved = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local known, requests, bytes = used(redis.call('GET', KEYS[key]))
  if known == day then
    keep_day(KEYS[key], day, math.max(requests - back, 0), bytes + moved)
  elseif moved > 0 and (not known or known < day) then
    keep_day(KEYS[key], day, 0, moved)
  end
  at = at + 3
end

for _ = 1, ended do
  key = key + 1
  redis.call('ZREM', KEYS[key], ARGV[at + 1])
  at = at + 1
end
return 'OK'
