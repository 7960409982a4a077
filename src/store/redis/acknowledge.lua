-- Says when a node took revocations into effect, once: the first time stays. The receipt may not be open yet.
--
-- KEYS    {postern}:receipt:KEY of each
-- ARGV[1] the node's name
-- ARGV[2] microseconds since 1970

for _, receipt in ipairs(KEYS) do
  local known = redis.call('HGET', receipt, ARGV[1])
  if not known or known == '' then
    redis.call('HSET', receipt, ARGV[1], ARGV[2])
  end
end
return 'OK'
