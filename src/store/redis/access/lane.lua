-- What all scripts that look at lanes have in common. It stands before each of them.

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function is_older(one, other)
  local one_ms, one_seq = parts(one)
  local other_ms, other_seq = parts(other)
  return one_ms < other_ms or (one_ms == other_ms and one_seq < other_seq)
end

-- The last id that the stream gave out, even if that entry is gone; nil where there is no stream.
local function head_of(stream)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      return info[at + 1]
    end
  end
end

-- Where the numbers of lanes are to be read: `lanes`; `counted`, where the lanes alone are gone; nil where all begin anew.
-- Somebody may have taken the stream away (evicted, deleted) and left the lanes: nothing of them is there any more. 0-0 says
-- that nothing was written since that was noticed.
local function known_in(head, lanes, counted)
  local written = redis.call('HGET', lanes, 'last')
  if written then
    local is_there = written == '0-0' or (head and not is_older(head, written))
    return is_there and lanes or nil
  end
  local counted_at = redis.call('HGET', counted, 'last')
  return counted_at and head and not is_older(head, counted_at) and counted or nil
end

-- Where the stream was lost once, more is counted than is in it: `lost` says so, and `in:LANE` is the number of the last
-- record that came again or since.
local function was_lost(counted)
  return redis.call('HEXISTS', counted, 'lost') == 1
end

local function number_in(known, counted, lane)
  if known and known == counted and was_lost(counted) then
    lane = 'in:' .. lane
  end
  return known and redis.call('HGET', known, lane) or '0'
end

-- To be called with every change of a lane in `lanes`.
local function note_in(counted, lane, number)
  if was_lost(counted) then
    redis.call('HSET', counted, 'in:' .. lane, number)
  end
end

local function drop_fields(hash, are_dropped)
  for _, field in ipairs(redis.call('HKEYS', hash)) do
    if are_dropped(field) then
      redis.call('HDEL', hash, field)
    end
  end
end

-- Makes `lanes` tell the truth.
local function settle(head, lanes, counted)
  local known = known_in(head, lanes, counted)
  if known == counted then
    local lost = was_lost(counted)
    local numbers = redis.call('HGETALL', counted)
    for at = 1, #numbers, 2 do
      local field = numbers[at]
      local lane = field
      if lost and field ~= 'last' then
        lane = string.match(field, '^in:(.*)$')
      end
      if lane then
        redis.call('HSET', lanes, lane, numbers[at + 1])
      end
    end
  elseif not known and (redis.call('EXISTS', lanes) == 1 or redis.call('EXISTS', counted) == 1) then
    redis.call('HSET', lanes, 'last', '0-0')
    drop_fields(lanes, function(field) return field ~= 'last' end)
    redis.call('HSET', counted, 'lost', '1')
    drop_fields(counted, function(field) return string.sub(field, 1, 3) == 'in:' end)
  end
end
