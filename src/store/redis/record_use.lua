-- Notes last uses, keeping the later of each.
--
-- KEYS[1] {postern}:used
-- ARGV    key id and microseconds since 1970, in turn

for at = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[at])
  if not known or tonumber(known) < tonumber(ARGV[at + 1]) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  end
end
return 'OK'
