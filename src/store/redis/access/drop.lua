-- Deletes the index, or the sums, of some whose records are of one day.
--
-- KEYS[1]  {postern:access}:days, or {postern:access}:sum-days
-- KEYS[2]  {postern:access}:on:DAY, or {postern:access}:sums-on:DAY
-- The names of what is deleted are made of the members of KEYS[2], and are in the same slot.
--
-- ARGV[1]  index, or sums
-- ARGV[2]  the day
-- ARGV[3]  of how many
-- ARGV[4]  the string of an hour that is so long is followed by those of its minutes
--
-- Answers of how many there still is something.

local PREFIX = '{postern:access}:'
local day, longest = tonumber(ARGV[2]), tonumber(ARGV[4])

local function drop_index(whose)
  for hour = day * 24, day * 24 + 23 do
    local at = PREFIX .. 'at:' .. hour .. ':' .. whose
    if redis.call('STRLEN', at) >= longest then
      for minute = hour * 60, hour * 60 + 59 do
        redis.call('UNLINK', PREFIX .. 'minute:' .. minute .. ':' .. whose)
      end
    end
    redis.call('UNLINK', at)
  end
  redis.call('HDEL', PREFIX .. 'hours:' .. whose, ARGV[2])
end

for _, whose in ipairs(redis.call('SRANDMEMBER', KEYS[2], ARGV[3])) do
  if ARGV[1] == 'index' then
    drop_index(whose)
  else
    redis.call('UNLINK', PREFIX .. 'sum:' .. ARGV[2] .. ':' .. whose, PREFIX .. 'refused:' .. ARGV[2] .. ':' .. whose)
  end
  redis.call('SREM', KEYS[2], whose)
end
local left = redis.call('SCARD', KEYS[2])
if left == 0 then
  redis.call('SREM', KEYS[1], ARGV[2])
end
return left
