-- Forgets the numbers of lanes that have been over for long.
--
-- KEYS[1]  {postern:access}:lanes
-- KEYS[2]  {postern:access}:counted
-- KEYS[3]  {postern:access}:over
--
-- ARGV[1]  those that were over before this time (microseconds since 1970) are forgotten

local before = tonumber(ARGV[1])
local told = redis.call('HGETALL', KEYS[3])
for at = 1, #told, 2 do
  if tonumber(told[at + 1]) < before then
    for number = 1, 3 do
      redis.call('HDEL', KEYS[number], told[at])
    end
    redis.call('HDEL', KEYS[2], 'in:' .. told[at])
  end
end
return 'OK'
