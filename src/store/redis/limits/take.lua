-- Decides over the requests of a batch, one after the other: takes from all limits of a request, or from none. What several
-- of them are held to is read and written once. Writes nothing else, unless the node believes in more than is known here, which
-- the other nodes should believe, too; or what is kept is of a time to come, since the clock was set back: it is kept anew as of
-- now.
--
-- KEYS     {postern:limits}:KIND:NAME of each rate; then {postern:limits}:day:KEY of each quota; then
--          {postern:limits}:running:KEY, where the number of those that run at once is limited
--
-- ARGV[1]  JSON, as batch.rs says:
--   at         microseconds since 1970: by this clock the node asked no later; not there where it cannot tell
--   rates      of each in the order of KEYS, in nanoseconds: for one unit to come back, what the bucket holds, both as text, and
--              what the node believes was owed
--   days       of each in the order of KEYS, what the node believes of it: the day, its requests and bytes
--   questions  of each request, where they hold:
--     rates    the number of each, and what is taken from it
--     day      its number, and the most requests and the most bytes, each false where it does not hold
--     running  its number, the most, how many the node runs itself, the id of the request, its lease in microseconds
--     looks    true: take nothing
--
-- Times of a bucket that holds more than PLAIN are text.
--
-- Returns the time by this clock; then of each request: 1 if it was taken, or could be; the day, its requests and bytes; how
-- many run; and what is owed of each rate.

-- A node waits no longer for an answer (DEADLINE in src/limits/shared.rs), so what it believes is no older.
local DEADLINE = 100e3

-- So many digits: a time of less than eleven days, of which a double holds every nanosecond, and sums of it.
local PLAIN = 15

local batch = cjson.decode(ARGV[1])
local asked, rates, days, questions = batch.at, batch.rates, batch.days, batch.questions
local late = asked and math.min(math.max(now - asked, 0), DEADLINE) * 1000 or 0
local strings = #rates + #days
local kept = strings > 0 and redis.call('MGET', unpack(KEYS, 1, strings)) or {}

-- Of each rate: what is owed, as times are told in bucket.lua, or in nanoseconds alone where `whole` is there.
local owed_s, owed_n, whole, whole_s, is_news = {}, {}, {}, {}, {}
for number, rate in ipairs(rates) do
  local interval, fill, believed = rate[1], rate[2], rate[3]
  if #fill <= PLAIN then
    local most, n, is_ahead = tonumber(fill), 0, false
    local since, debt, was, held = string.match(kept[number] or '', KEPT)
    if was == interval and held == fill then
      local gone = now - tonumber(since)
      is_ahead = gone < 0
      n = math.max(tonumber(debt) - math.max(gone, 0) * 1000, 0)
    elseif was then
      local s
      s, n, is_ahead = owed(kept[number], interval, fill)
      n = s * SECOND + n
    end
    is_news[number] = believed - late > n or is_ahead
    owed_n[number], whole[number] = math.min(math.max(n, believed - late), most), most
  else
    local fs, fn = split(fill)
    local bs, bn = split(believed)
    bs, bn = rest(bs, bn, 0, late)
    local s, n, is_ahead = owed(kept[number], interval, fill)
    is_news[number] = is_ahead
    if less(s, n, bs, bn) then
      is_news[number] = true
      s, n = bs, bn
    end
    if less(fs, fn, s, n) then
      s, n = fs, fn
    end
    owed_s[number], owed_n[number], whole_s[number] = s, n, { fs, fn }
  end
end

local today = math.floor(now / DAY)
for number, believed in ipairs(days) do
  local known, requests, bytes, is_wrong = used(kept[#rates + number])
  -- A clock that was set back begins no new day.
  local day = { day = math.max(today, known or 0), requests = 0, bytes = 0, is_news = is_wrong }
  if known == day.day then
    day.requests, day.bytes = requests, bytes
  end
  if believed[1] == day.day then
    day.is_news = day.is_news or believed[2] > day.requests or believed[3] > day.bytes
    day.requests, day.bytes = math.max(day.requests, believed[2]), math.max(day.bytes, believed[3])
  end
  days[number] = day
end

-- Of each number of those that run: how many there are.
local sets = {}
local function set_of(number)
  if not sets[number] then
    local key = KEYS[strings + number]
    sets[number] = { key = key, count = redis.call('ZCOUNT', key, '(' .. moment, '+inf') }
  end
  return sets[number]
end

-- One whose lease ends later than one that begins now was leased by a clock that was ahead: it has as long as that one.
local function mend(set, lease)
  local last = string.format('%d', now + lease)
  local wrong = redis.call('ZRANGEBYSCORE', set.key, '(' .. last, '+inf')
  for _, request in ipairs(wrong) do
    redis.call('ZADD', set.key, last, request)
  end
  if #wrong > 0 then
    redis.call('PEXPIRE', set.key, string.format('%d', math.ceil(lease / 1000) + 1000))
  end
end

-- Of what is told in two numbers.
local function has_long_room(number, taken)
  local s, n = sum(owed_s[number], owed_n[number], split(taken))
  return not less(whole_s[number][1], whole_s[number][2], s, n)
end

local told, is_changed = { now }, {}
for _, question in ipairs(questions) do
  local wanted, looks, fits = question.rates, question.looks, true
  for at = 1, #wanted, 2 do
    local number, taken = wanted[at], wanted[at + 1]
    local most = whole[number]
    if most then
      fits = fits and owed_n[number] + taken <= most
    else
      fits = fits and has_long_room(number, taken)
    end
  end
  local day, counts
  if question.day then
    local number, most_requests, most_bytes = unpack(question.day)
    day, counts = days[number], most_requests
    if (most_requests and day.requests >= most_requests) or (most_bytes and day.bytes >= most_bytes) then
      fits = false
    end
  end
  local running, set, lease = 0, nil, nil
  if question.running then
    local number, most, own = unpack(question.running)
    set, lease = set_of(number), question.running[5]
    running = math.max(set.count, own)
    if running >= most then
      fits = false
      if not looks then
        mend(set, lease)
      end
    end
  end
  local takes = fits and not looks
  if takes then
    for at = 1, #wanted, 2 do
      local number, taken = wanted[at], wanted[at + 1]
      is_changed[number] = true
      if whole[number] then
        owed_n[number] = owed_n[number] + taken
      else
        owed_s[number], owed_n[number] = sum(owed_s[number], owed_n[number], split(taken))
      end
    end
    if counts then
      day.requests = day.requests + 1
    end
    if set then
      if not set.lease then
        redis.call('ZREMRANGEBYSCORE', set.key, '-inf', moment)
      end
      -- One that is there already was taken before, and its answer lost.
      local new = redis.call('ZADD', set.key, string.format('%d', now + lease), question.running[4])
      set.count, set.lease, running = set.count + new, math.max(set.lease or 0, lease), running + 1
    end
  end
  local from = #told
  told[from + 1], told[from + 2] = fits and 1 or 0, day and day.day or today
  told[from + 3], told[from + 4], told[from + 5] = day and day.requests or 0, day and day.bytes or 0, running
  for at = 1, #wanted, 2 do
    local number = wanted[at]
    told[#told + 1] = whole[number] and owed_n[number] or join(owed_s[number], owed_n[number])
    if is_news[number] and not looks then
      is_changed[number] = true
    end
  end
  if day then
    day.is_changed = day.is_changed or (takes and counts) or (day.is_news and not looks)
  end
end

for number in pairs(is_changed) do
  keep(KEYS[number], owed_s[number], owed_n[number], rates[number][1], rates[number][2])
end
for number, day in ipairs(days) do
  if day.is_changed then
    keep_day(KEYS[#rates + number], day.day, day.requests, day.bytes)
  end
end
for _, set in pairs(sets) do
  if set.lease then
    redis.call('PEXPIRE', set.key, string.format('%d', math.ceil(set.lease / 1000) + 1000))
  end
end
return told
