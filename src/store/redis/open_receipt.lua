-- Opens the receipt of a revocation; one that is open stays as it is. Nodes may have acknowledged before, so it is not
-- the hash that says that it is open, but the field without a name.
--
-- KEYS[1] {postern}:receipt:KEY
-- ARGV    the names of the nodes that must apply it

if redis.call('HSETNX', KEYS[1], '', '') == 1 then
  for _, node in ipairs(ARGV) do
    redis.call('HSETNX', KEYS[1], node, '')
  end
end
return 'OK'
