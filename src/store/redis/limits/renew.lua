-- Requests that still run hold their places for longer, also those of which nothing is known here (any more): they began while
-- this Redis was away, or it forgot them, or their node was held up for longer than their leases.
--
-- KEYS     {postern:limits}:running:KEY of each request
--
-- ARGV[1]  the lease, in microseconds
-- then     the id of each request

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
local lease = tonumber(ARGV[1])

for number = 1, #KEYS do
  local set, request = KEYS[number], ARGV[number + 1]
  redis.call('ZADD', set, string.format('%d', now + lease), request)
  redis.call('PEXPIRE', set, string.format('%d', math.ceil(lease / 1000) + 1000))
end
return 'OK'
