-- Passes over records of a lane that are lost for good. It stands behind lane.lua.
--
-- KEYS[1]  postern:access
-- KEYS[2]  {postern:access}:lanes
-- KEYS[3]  {postern:access}:counted
--
-- ARGV[1]  the lane
-- ARGV[2]  the number of the last record that is lost
--
-- A lane never goes back by it, and is not over ({postern:access}:over, in the same slot). Numbers are compared as text: the longer is the greater.

local function is_less(one, other)
  return #one < #other or (#one == #other and one < other)
end

redis.call('HDEL', '{postern:access}:over', ARGV[1])
settle(head_of(KEYS[1]), KEYS[2], KEYS[3])
local have = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
if is_less(have, ARGV[2]) then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  note_in(KEYS[3], ARGV[1], ARGV[2])
  if not redis.call('HGET', KEYS[2], 'last') then
    redis.call('HSET', KEYS[2], 'last', '0-0')
  end
end
local counted = redis.call('HGET', KEYS[3], ARGV[1]) or '0'
if is_less(counted, ARGV[2]) then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
end
return 'OK'
