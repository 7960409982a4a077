-- Deletes the oldest entries of the stream.
--
-- KEYS[1]  postern:access
--
-- ARGV[1]  entries from before this time go (RFC 3339 in UTC with microseconds, as `ts` is written)
-- ARGV[2]  entries from before this time go even if a consumer group has not confirmed them
-- ARGV[3]  how many are looked at
-- ARGV[4]  what says that it is later than this was written by a clock that was wrong
-- ARGV[5]  the same as ARGV[1], and
-- ARGV[6]  as ARGV[2], in milliseconds since 1970
--
-- Answers how many went, 1 where there may be more to delete, and how many stay for a group: of those that were looked at.
-- `ts` decides, not the id: ids say when an entry was written, by a clock that may jump. Only where `ts` cannot be, the id
-- does: an entry of the future would keep all that is behind it.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return { 0, 0, 0 }
end
local most = tonumber(ARGV[3])
local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', most)
if #entries == 0 then
  return { 0, 0, 0 }
end

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- The first id that some group has not confirmed; nil where all of them confirmed everything, or there is none.
local open_ms, open_seq
local function is_open(ms, seq)
  if not open_ms or ms < open_ms or (ms == open_ms and seq < open_seq) then
    open_ms, open_seq = ms, seq
  end
end
for _, told in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for at = 1, #told, 2 do
    group[told[at]] = told[at + 1]
  end
  local ms, seq = parts(group['last-delivered-id'])
  is_open(ms, seq + 1)
  -- From the first entry on: what was trimmed before, nobody can read any more.
  local pending = redis.call('XPENDING', KEYS[1], group['name'], entries[1][1], '+', 1)
  if pending[1] then
    is_open(parts(pending[1][1]))
  end
end

local function time_of(fields)
  if fields[3] == 'ts' then
    return fields[4]
  end
  for at = 1, #fields, 2 do
    if fields[at] == 'ts' then
      return fields[at + 1]
    end
  end
  return ''
end

local edge, cap = tonumber(ARGV[5]), tonumber(ARGV[6])
local gone, held, at_end = 0, 0, false
for _, entry in ipairs(entries) do
  local time = time_of(entry[2])
  local ms, seq = parts(entry[1])
  local is_young, is_capped = time >= ARGV[1], time < ARGV[2]
  if time > ARGV[4] then
    is_young, is_capped = ms >= edge, ms < cap
  end
  if is_young then
    at_end = true
    break
  end
  local unconfirmed = open_ms and (ms > open_ms or (ms == open_ms and seq >= open_seq))
  if held > 0 or (unconfirmed and not is_capped) then
    held = held + 1
  else
    gone = gone + 1
  end
end
if gone > 0 then
  redis.call('XTRIM', KEYS[1], 'MAXLEN', redis.call('XLEN', KEYS[1]) - gone)
end
local more = not at_end and held == 0 and #entries == most
return { gone, more and 1 or 0, held }
