-- What the scripts have in common. KEYS: fence of the box, clock, subjects in which the box has requests in flight; then, for each
-- subject, what all have counted and what this box has. ARGV: epoch, box. All is decided by the time of this server.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('STALE this box has begun anew, or was given up')
end
local span, hour, day = 60, 3600, 86400
local box = ARGV[2]
local time = redis.call('TIME')
local raw, micro = tonumber(time[1]), tonumber(time[2])

local function number(v) return tonumber(v or 0) or 0 end

-- The second that minutes are counted by: it goes on where it was when the server's clock is set back.
local function steady()
  local clock = redis.call('HMGET', KEYS[2], 'last', 'ahead')
  local last, ahead = number(clock[1]), number(clock[2])
  if raw + ahead < last then ahead = last - raw end
  if raw + ahead ~= last then
    redis.call('HSET', KEYS[2], 'last', raw + ahead, 'ahead', ahead)
    redis.call('EXPIRE', KEYS[2], day)
  end
  return raw + ahead
end
local second = steady()

-- Bounds of the window of the calendar, UTC, in which t lies.
local function window(name, t)
  if name == 'hour' then return t - t % hour, t - t % hour + hour end
  if name == 'day' then return t - t % day, t - t % day + day end
  if name == 'week' then -- the fifth day of 1970 was a Monday
    local from = t - (t - 4 * day) % (7 * day)
    return from, from + 7 * day
  end
  if name == 'month' then
    local z = math.floor(t / day) + 719468 -- days since the first of March of the year 0
    local era = math.floor(z / 146097)
    local doe = z - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local mp = math.floor((5 * doy + 2) / 153) -- 0 is March
    local date = doy - math.floor((153 * mp + 2) / 5) + 1
    local from = t - t % day - (date - 1) * day
    local long = ({31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28})[mp + 1]
    if mp == 11 then -- February lies in the year after
      local year = yoe + era * 400 + 1
      if year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) then long = 29 end
    end
    return from, from + long * day
  end
  return 0, 0
end

-- Takes out of a minute what has slid out of it since last.
local function slide(key, last, requests, tokens)
  if second <= last then return requests, tokens end
  local fields = {}
  for s = math.max(last, second - span) + 1, second do
    fields[#fields + 1] = 'r' .. s % span
    fields[#fields + 1] = 't' .. s % span
  end
  if requests ~= 0 or tokens ~= 0 then
    for i, v in ipairs(redis.call('HMGET', key, unpack(fields))) do
      if i % 2 == 1 then requests = requests - number(v) else tokens = tokens - number(v) end
    end
    redis.call('HDEL', key, unpack(fields))
  end
  return requests, tokens
end

-- The i-th subject at now. Its claim begins at ARGV[at]: limits, window, what others are known to have spent and since when.
local claimed = 7
local slot = second % span
local function open(i, at)
  local s = {key = KEYS[2 + 2 * i], own = KEYS[3 + 2 * i], added = {r = 0, t = 0},
    rpm = tonumber(ARGV[at]), tpm = tonumber(ARGV[at + 1]), most = tonumber(ARGV[at + 2]), budget = tonumber(ARGV[at + 3]),
    window = ARGV[at + 4], known = tonumber(ARGV[at + 5]), since = tonumber(ARGV[at + 6])}
  local h = redis.call('HMGET', s.key, 'l', 'rs', 'ts', 'c', 'v', 'rn', 'tn', 'c:' .. box, 'v:' .. box, 'bn', 'bf', 'bu', 'bs', 'bo', 'e', 'r' .. slot, 't' .. slot)
  local o = redis.call('HMGET', s.own, 'l', 'rs', 'ts', 'bn', 'bf', 'bs', 'e', 'r' .. slot, 't' .. slot)
  s.requests, s.tokens = slide(s.key, number(h[1]), number(h[2]), number(h[3]))
  s.ownrequests, s.owntokens = slide(s.own, number(o[1]), number(o[2]), number(o[3]))
  -- What has been counted in this second; where none was, there is that of a minute ago.
  local same, ownsame = number(h[1]) == second, number(o[1]) == second
  s.now = {r = same and number(h[16]) or 0, t = same and number(h[17]) or 0}
  s.ownnow = {r = ownsame and number(o[8]) or 0, t = ownsame and number(o[9]) or 0}
  s.flying, s.reserved, s.lastrequest, s.lasttoken = number(h[4]), number(h[5]), number(h[6]), number(h[7])
  s.ownflying, s.ownreserved = number(h[8]), number(h[9])
  s.flew = s.ownflying > 0
  s.expires, s.ownexpires = number(h[15]), number(o[7])
  if s.budget > 0 then
    -- spent is what all have spent, told what of that is kept for single boxes.
    s.from, s.till, s.spent, s.told = number(h[11]), number(h[12]), number(h[13]), number(h[14])
    if h[10] ~= s.window or s.window ~= '' and raw >= s.till then
      s.spent, s.told = 0, 0
      s.from, s.till = window(s.window, raw)
    end
    s.hasown = o[4] == s.window and number(o[5]) == s.from
    s.ownspent = s.hasown and number(o[6]) or 0
    -- Processes that know of another window than this one, as while settings change, begin anew what all have spent.
    if s.since == s.from then s.spent = math.max(s.spent, s.known + s.ownspent) end
  end
  return s
end

-- Counts n more in this second; close writes it.
local function count(s, ring, n) s.added[ring] = s.added[ring] + n end

-- Keeps a key for at least so long, and not for much longer; not to the second, so that it need not be said each time.
local function write(key, fields, expires, keep)
  local off = expires < raw + keep or expires > raw + 2 * keep
  if off then
    keep = math.floor(keep * 1.25)
    fields[#fields + 1] = 'e'
    fields[#fields + 1] = raw + keep
  end
  redis.call('HSET', key, unpack(fields))
  if off then redis.call('EXPIRE', key, keep) end
end

local function close(s)
  local all = {'l', second, 'rs', s.requests, 'ts', s.tokens, 'c', s.flying, 'v', s.reserved, 'rn', s.lastrequest, 'tn', s.lasttoken}
  local own = {'l', second, 'rs', s.ownrequests, 'ts', s.owntokens}
  local function put(fields, name, v)
    fields[#fields + 1] = name
    fields[#fields + 1] = v
  end
  for ring, n in pairs(s.added) do
    if n ~= 0 then
      put(all, ring .. slot, s.now[ring] + n)
      put(own, ring .. slot, s.ownnow[ring] + n)
    end
  end
  local keep = s.flying > 0 and day or 2 * span
  if s.budget > 0 then
    put(all, 'bn', s.window) put(all, 'bf', s.from) put(all, 'bu', s.till) put(all, 'bs', s.spent) put(all, 'bo', s.told)
    put(own, 'bn', s.window) put(own, 'bf', s.from) put(own, 'bs', s.ownspent)
    keep = math.max(keep, s.window == '' and 90 * day or s.till - raw + hour)
  end
  if s.ownflying > 0 then
    put(all, 'c:' .. box, s.ownflying) put(all, 'v:' .. box, s.ownreserved)
    if not s.flew then
      redis.call('SADD', KEYS[3], s.key)
      redis.call('EXPIRE', KEYS[3], day)
    end
  elseif s.flew then
    redis.call('HDEL', s.key, 'c:' .. box, 'v:' .. box)
    redis.call('SREM', KEYS[3], s.key)
  end
  write(s.key, all, s.expires, keep)
  write(s.own, own, s.ownexpires, keep)
end

-- What others than this box have counted: requests and tokens of the minute, milliseconds until those have slid out, in flight,
-- spent and since when.
local function elsewhere(s, reply)
  local function reset(last) return math.max(math.floor((last + span - second) * 1000 - micro / 1000), 0) end
  local theirs = s.reserved - s.ownreserved
  local n = #reply
  reply[n + 1] = s.requests - s.ownrequests
  reply[n + 2] = s.tokens - s.owntokens + theirs
  reply[n + 3] = s.requests > 0 and reset(s.lastrequest) or 0
  reply[n + 4] = theirs > 0 and span * 1000 or s.tokens > 0 and reset(s.lasttoken) or 0
  reply[n + 5] = s.flying - s.ownflying
  reply[n + 6] = s.budget > 0 and s.spent - s.ownspent or 0
  reply[n + 7] = s.budget > 0 and s.from or 0
end
