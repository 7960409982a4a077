-- Writes one change, whole or not at all.
--
-- KEYS[1]  {postern}:meta
-- KEYS[2]  {postern}:documents
-- KEYS[3]  {postern}:feed
-- KEYS[4]  {postern}:audit
-- KEYS[5…] {postern}:audit:PRACTICE of each practice that an entry is of
--
-- ARGV[1]  version of the layout
-- ARGV[2]  the position that the store must be at
-- ARGV[3]  the id of the change that made it, as far as the caller knows; empty where it does not
-- ARGV[4]  the position after this change
-- ARGV[5]  the id of this change
-- ARGV[6]  what goes to the feed: the change as JSON, or nothing where readers shall load again
-- ARGV[7]  how many changes the feed keeps
-- ARGV[8]  the seq of the audit before this change
-- ARGV[9]  the head of the audit after this change, JSON; empty where it has no entries
-- ARGV[10] how many documents are put, ARGV[11] how many are removed, ARGV[12] how many entries the audit gets
-- then, for each document put: its id, `POSITION JSON`
-- then, for each document removed: its id
-- then, for each entry: its seq, its JSON, and the number in KEYS of its practice's index; 0 where it has none
--
-- Answers OK, CONFLICT where the store is somewhere else, LATER where a later version made it, BROKEN where its audit does
-- not fit. In all but the first case nothing was written: everything that can fail is looked at before the first write.

local meta = redis.call('HMGET', KEYS[1], 'version', 'position', 'change', 'head')
if meta[1] and tonumber(meta[1]) > tonumber(ARGV[1]) then
  return 'LATER'
end
if (meta[2] or '0') ~= ARGV[2] then
  return 'CONFLICT'
end
if ARGV[3] ~= '' and meta[3] ~= ARGV[3] then
  return 'CONFLICT'
end
local puts, removes, entries = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
if entries > 0 then
  local seq = meta[4] and cjson.decode(meta[4])['seq'] or 0
  if seq ~= tonumber(ARGV[8]) then
    return 'BROKEN'
  end
end

-- First of the writes, since it is the one that Redis itself may refuse: ids of a stream only grow.
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[7], ARGV[4] .. '-0', 'id', ARGV[5], 'change', ARGV[6])
local at = 13
for _ = 1, puts do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, removes do
  redis.call('HDEL', KEYS[2], ARGV[at])
  at = at + 1
end
for _ = 1, entries do
  local id, index = ARGV[at] .. '-0', tonumber(ARGV[at + 2])
  redis.call('XADD', KEYS[4], id, 'entry', ARGV[at + 1])
  if index > 0 then
    redis.call('XADD', KEYS[index], id, '', '')
  end
  at = at + 3
end
redis.call('HSET', KEYS[1], 'version', meta[1] or ARGV[1], 'position', ARGV[4], 'change', ARGV[5])
if entries > 0 then
  redis.call('HSET', KEYS[1], 'head', ARGV[9])
end
return 'OK'
