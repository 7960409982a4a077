-- Marks lanes as over, as of now.
--
-- KEYS[1]  {postern:access}:over
--
-- ARGV     the lanes

local now = redis.call('TIME')
local micros = now[1] .. string.format('%06d', tonumber(now[2]))
for _, lane in ipairs(ARGV) do
  redis.call('HSET', KEYS[1], lane, micros)
end
return 'OK'
