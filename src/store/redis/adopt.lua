-- Remembers which vault the store belongs to, where it belongs to none.
--
-- KEYS[1] {postern}:meta
-- ARGV[1] version of the layout
-- ARGV[2] the vault's fingerprint
-- ARGV[3] a name for this attempt: the same attempt, heard twice, succeeds twice
--
-- Answers OK, or CONFLICT where the store belongs to a vault already.

if redis.call('HSETNX', KEYS[1], 'vault', ARGV[2]) == 1 then
  redis.call('HSET', KEYS[1], 'adopted', ARGV[3])
  redis.call('HSETNX', KEYS[1], 'version', ARGV[1])
  return 'OK'
end
if redis.call('HGET', KEYS[1], 'adopted') == ARGV[3] then
  return 'OK'
end
return 'CONFLICT'
