-- Decides over all limits of one request: takes from all of them, or from none. Writes nothing else, unless the node believes
-- in more than is known here, which the other nodes should believe, too; or what is kept is of a time to come, since the
-- clock was set back: it is kept anew as of now.
--
-- KEYS     {postern:limits}:KIND:NAME of each rate; then {postern:limits}:day:KEY, if a quota holds; then
--          {postern:limits}:running:KEY, if the number of those that run at once does
--
-- ARGV[1]  1: only look
-- ARGV[2]  microseconds since 1970: by this clock the node asked no later; empty where it cannot tell
-- ARGV[3]  how many rates
-- ARGV[4]  1: a quota holds
-- ARGV[5]  1: the number of those that run does
-- then     of each rate, in nanoseconds: for one unit to come back, what the bucket holds, what is taken, and what the node
--          believes was owed when it asked
-- then     of the quota: the most requests and the most bytes, each empty where it does not hold; the day that the node
--          believes in, and what it believes was used of it: requests, bytes
-- then     of those that run: the most, how many the node runs itself, the id of the request, its lease in microseconds
--
-- Returns 1 if it was taken, or could be; the time by this clock; the day, its requests and bytes; how many run; and what is
-- owed of each rate.

-- A node waits no longer for an answer (DEADLINE in src/limits/shared.rs), so what it believes is no older.
local DEADLINE = 100e3

local looks = ARGV[1] == '1'
local asked = tonumber(ARGV[2])
local late = asked and math.min(math.max(now - asked, 0), DEADLINE) * 1000 or 0
local rates = tonumber(ARGV[3])
local strings = rates + tonumber(ARGV[4])
local kept = strings > 0 and redis.call('MGET', unpack(KEYS, 1, strings)) or {}
local at = 5
local fits = true

-- Of digits: a time of less than eleven days, of which a double holds every nanosecond, and sums of it.
local PLAIN = 15

-- What is owed of each before and after, as times are told in bucket.lua.
local before_s, before_n, after_s, after_n, is_news = {}, {}, {}, {}, {}
for number = 1, rates do
  local interval, fill = ARGV[at + 1], ARGV[at + 2]
  local is_plain = #fill <= PLAIN
  if is_plain then
    local whole, taken, believed = tonumber(fill), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]) - late
    local n, is_ahead = 0, false
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
    is_news[number] = believed > n or is_ahead
    n = math.min(math.max(n, believed), whole)
    before_n[number], after_n[number] = n, n + taken
    fits = fits and n + taken <= whole
  else
    local fs, fn = split(fill)
    local ts, tn = split(ARGV[at + 3])
    local bs, bn = split(ARGV[at + 4])
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
    before_s[number], before_n[number] = s, n
    s, n = sum(s, n, ts, tn)
    after_s[number], after_n[number] = s, n
    fits = fits and not less(fs, fn, s, n)
  end
  at = at + 4
end

local day, requests, bytes = math.floor(now / DAY), 0, 0
local counts, is_news_of_day = false, false
if ARGV[4] == '1' then
  local known, known_requests, known_bytes, is_wrong = used(kept[strings])
  is_news_of_day = is_wrong
  -- A clock that was set back begins no new day.
  day = math.max(day, known or 0)
  if known == day then
    requests, bytes = known_requests, known_bytes
  end
  if tonumber(ARGV[at + 3]) == day then
    local believed_requests, believed_bytes = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    is_news_of_day = is_news_of_day or believed_requests > requests or believed_bytes > bytes
    requests, bytes = math.max(requests, believed_requests), math.max(bytes, believed_bytes)
  end
  local most_requests, most_bytes = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  counts = most_requests ~= nil
  if (most_requests and requests >= most_requests) or (most_bytes and bytes >= most_bytes) then
    fits = false
  end
  at = at + 5
end

local running, set = 0, KEYS[strings + 1]
if ARGV[5] == '1' then
  running = math.max(redis.call('ZCOUNT', set, '(' .. moment, '+inf'), tonumber(ARGV[at + 2]))
  if running >= tonumber(ARGV[at + 1]) then
    fits = false
    -- One whose lease ends later than one that begins now was leased by a clock that was ahead: it has as long as that one.
    local last = string.format('%.0f', now + tonumber(ARGV[at + 4]))
    local wrong = looks and {} or redis.call('ZRANGEBYSCORE', set, '(' .. last, '+inf')
    for _, request in ipairs(wrong) do
      redis.call('ZADD', set, last, request)
    end
    if #wrong > 0 then
      redis.call('PEXPIRE', set, string.format('%.0f', math.ceil(tonumber(ARGV[at + 4]) / 1000) + 1000))
    end
  end
end

local takes = fits and not looks
local debts_s, debts_n = before_s, before_n
if takes then
  debts_s, debts_n = after_s, after_n
end
local answer = {}
for number = 1, rates do
  local s, n = debts_s[number], debts_n[number]
  if takes or (is_news[number] and not looks) then
    local place = 5 + 4 * (number - 1)
    answer[6 + number] = keep(KEYS[number], s, n, ARGV[place + 1], ARGV[place + 2])
  else
    answer[6 + number] = join(s, n)
  end
end
if takes and counts then
  requests = requests + 1
end
if (takes and counts) or (is_news_of_day and not looks) then
  keep_day(KEYS[strings], day, requests, bytes)
end
if takes and ARGV[5] == '1' then
  local lease = tonumber(ARGV[at + 4])
  redis.call('ZREMRANGEBYSCORE', set, '-inf', moment)
  redis.call('ZADD', set, string.format('%.0f', now + lease), ARGV[at + 3])
  redis.call('PEXPIRE', set, string.format('%.0f', math.ceil(lease / 1000) + 1000))
  running = running + 1
end

answer[1], answer[2], answer[3] = fits and 1 or 0, now, day
answer[4], answer[5], answer[6] = requests, bytes, running
return answer
