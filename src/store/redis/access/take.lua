-- Takes records of one lane, with all that they add up to, whole or not at all. It stands behind lane.lua.
--
-- KEYS[1]  postern:access
-- KEYS[2]  {postern:access}:lanes
-- KEYS[3]  {postern:access}:counted
-- KEYS[4]  {postern:access}:days
-- KEYS[5]  {postern:access}:sum-days
-- The names of the others are made here of what the groups say; all have the same tag, so they are in the same slot.
--
-- ARGV[1]  the lane
-- ARGV[2]  the number before the first record: where the lane must be
-- ARGV[3]  up to which number the caller believes that records were counted
-- ARGV[4]  the number of the last record
-- ARGV[5]  up to which number records are counted after this
-- ARGV[6]  how many records, ARGV[7] how many groups, ARGV[8] how many refusals follow
-- ARGV[9]  so long a string of an hour gets no longer: minutes have their own then
-- then, packed as MessagePack arrays:
-- for each record: its microseconds within the hour (4 bytes), the numbers of its groups (0: none) for its key, its practice
--   and everybody, and the values of its fields in the order of FIELDS; and its count where that is more than 1
-- for each group, which is one of whom records are and one hour: of whom, the hour, the day (both counted since 1970), the
--   hour within the day, and what its records add up to, packed by itself: six counters, then pairs of a bucket and a
--   count; empty where all were counted before
-- for each refusal: of whom, the day, which, how often
--
-- Numbers of records are compared as text, so they may be as large as they like. Sums are numbers of Lua: exact up to 2^53
-- (nine million gigabytes in an hour), and never more.
--
-- Answers where the lane is, and up to where its records are counted; the same as ARGV[4] and ARGV[5] where they were taken.
-- Everything that can fail is looked at, or tried with a write that changes nothing, before the first entry is written.

local FIELDS = {
  'id', 'ts', 'node', 'request_id', 'practice', 'key', 'vendor', 'owner', 'api', 'method', 'route', 'path', 'category',
  'access', 'decision', 'code', 'status', 'bytes_in', 'bytes_out', 'duration_us', 'upstream_us', 'ip', 'user_agent',
}
local MOST = 9007199254740992
-- In bytes. To put a sum behind the others costs next to nothing, to merge them a tenth of a millisecond.
local LONGEST_SUM = 1024
local PREFIX = '{postern:access}:'
local stream, lanes, counted = KEYS[1], KEYS[2], KEYS[3]
local lane, after, believed, last, counted_then = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local records, groups_told, refusals_told = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local longest = tonumber(ARGV[9])

local head = head_of(stream)
settle(head, lanes, counted)
local have = redis.call('HGET', lanes, lane) or '0'
local have_counted = redis.call('HGET', counted, lane) or have
if have ~= after or have_counted ~= believed then
  return { have, have_counted }
end
if head then
  local ms, seq = parts(head)
  if ms >= 281474976710656 or seq >= 1099510579200 then
    return redis.error_reply('ERR the ids of postern:access are used up: an entry of it has an id far in the future')
  end
end

-- All of the sums that were put one behind the other, as one.
local function merge(sums)
  local total, places, length = { 0, 0, 0, 0, 0, 0 }, {}, 6
  for _, more in ipairs({ cmsgpack.unpack(sums) }) do
    for at = 1, 6 do
      total[at] = math.min(total[at] + more[at], MOST)
    end
    for at = 7, #more, 2 do
      local bucket, count = more[at], more[at + 1]
      local place = places[bucket]
      if place then
        total[place] = math.min(total[place] + count, MOST)
      else
        total[length + 1], total[length + 2] = bucket, count
        places[bucket] = length + 2
        length = length + 2
      end
    end
  end
  return cmsgpack.pack(total)
end

local function sum(old, more)
  if not old then
    return more
  end
  local both = old .. more
  return #both > LONGEST_SUM and merge(both) or both
end

-- Looking.

local argument = 9 + records
local groups, sums = {}, {}
for number = 1, groups_told do
  local told = cmsgpack.unpack(ARGV[argument + number])
  local whose, hour, day, within = told[1], told[2], told[3], told[4]
  local group = { whose = whose, hour = hour, day = day }
  group.at = PREFIX .. 'at:' .. hour .. ':' .. whose
  group.is_full = redis.call('STRLEN', group.at) >= longest
  group.hours = PREFIX .. 'hours:' .. whose
  local known = tonumber(redis.call('HGET', group.hours, day) or '0')
  local bit_of_hour = bit.lshift(1, within)
  if bit.band(known, bit_of_hour) == 0 then
    group.mask = bit.bor(known, bit_of_hour)
  end
  local more = told[5]
  if #more > 0 then
    local name = PREFIX .. 'sum:' .. day .. ':' .. whose
    local known_sums = redis.call('HMGET', name, within, 'day')
    -- Two groups of one day differ in the hour.
    local kept = sums[name]
    if not kept then
      kept = { name, 'day', known_sums[2] }
      sums[name] = kept
    end
    kept[3] = sum(kept[3], more)
    kept[#kept + 1] = within
    kept[#kept + 1] = sum(known_sums[1], more)
  end
  groups[number] = group
end
argument = argument + groups_told
local refusals = {}
for number = 1, refusals_told do
  local told = cmsgpack.unpack(ARGV[argument + number])
  local name = PREFIX .. 'refused:' .. told[2] .. ':' .. told[1]
  redis.call('HINCRBY', name, told[3], 0)
  refusals[number] = { name, told[3], told[4] }
end

-- Writing what may be written twice. Hours are noted by group, one after the other, for two may be of one day.

redis.call('HSET', lanes, lane, after)
redis.call('HDEL', PREFIX .. 'over', lane)
redis.call('APPEND', groups[1].at, '')
for _, group in ipairs(groups) do
  if group.mask then
    local known = tonumber(redis.call('HGET', group.hours, group.day) or '0')
    redis.call('HSET', group.hours, group.day, bit.bor(known, group.mask))
    redis.call('SADD', PREFIX .. 'on:' .. group.day, group.whose)
    redis.call('SADD', PREFIX .. 'sums-on:' .. group.day, group.whose)
    redis.call('SADD', KEYS[4], group.day)
    redis.call('SADD', KEYS[5], group.day)
  end
end

-- Writing. The first entry may be refused; after that nothing is.

local entry = { stream, '*' }
for at, name in ipairs(FIELDS) do
  entry[2 * at + 1] = name
end
local buffers = {}
local id, last_ms, packed_ms
for number = 1, records do
  local record = cmsgpack.unpack(ARGV[9 + number])
  local offset = record[1]
  for at = 1, 23 do
    entry[2 * at + 2] = record[at + 4]
  end
  if record[28] then
    entry[49], entry[50] = 'count', record[28]
  else
    entry[49], entry[50] = nil, nil
  end
  id = redis.call('XADD', unpack(entry, 1, record[28] and 50 or 48))
  local dash = string.find(id, '-', 1, true)
  local ms = string.sub(id, 1, dash - 1)
  if ms ~= last_ms then
    last_ms, packed_ms = ms, struct.pack('>I6', tonumber(ms))
  end
  local place = offset .. packed_ms .. struct.pack('>I5', tonumber(string.sub(id, dash + 1)))
  for of = 2, 4 do
    local group = groups[record[of]]
    if group then
      local name = group.at
      if group.is_full then
        local minute = math.floor(struct.unpack('>I4', offset) / 60000000)
        name = PREFIX .. 'minute:' .. (group.hour * 60 + minute) .. ':' .. group.whose
      end
      local buffer = buffers[name]
      if not buffer then
        buffer = {}
        buffers[name] = buffer
      end
      buffer[#buffer + 1] = place
    end
  end
end
for name, buffer in pairs(buffers) do
  redis.pcall('APPEND', name, table.concat(buffer))
end
for _, kept in pairs(sums) do
  redis.call('HSET', unpack(kept))
end
for _, refusal in ipairs(refusals) do
  redis.call('HINCRBY', refusal[1], refusal[2], refusal[3])
end
redis.call('HSET', counted, lane, counted_then, 'last', id)
redis.call('HSET', lanes, lane, last, 'last', id)
note_in(counted, lane, last)
return { last, counted_then }
