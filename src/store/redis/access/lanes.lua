-- Says where lanes are. It stands behind lane.lua, and writes nothing.
--
-- KEYS[1]  postern:access
-- KEYS[2]  {postern:access}:lanes
-- KEYS[3]  {postern:access}:counted
--
-- ARGV     the lanes
--
-- Answers the last number of each.

local known = known_in(head_of(KEYS[1]), KEYS[2], KEYS[3])
local numbers = {}
for at, lane in ipairs(ARGV) do
  numbers[at] = number_in(known, KEYS[3], lane)
end
return numbers
