-- Notes that a node lives, and forgets those that were not heard of for long.
--
-- KEYS[1] {postern}:nodes
-- ARGV[1] the node's name
-- ARGV[2] `MICROSECONDS JSON` of its status
-- ARGV[3] microseconds since 1970: a node last seen before is forgotten

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local nodes = redis.call('HGETALL', KEYS[1])
for at = 1, #nodes, 2 do
  local seen = tonumber(string.match(nodes[at + 1], '^%-?%d+'))
  if seen and seen < tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], nodes[at])
  end
end
return 'OK'
