-- Lets requests in, and counts out those that have ended, in the order in which they came. What is known of a subject is read and
-- written once, however many of them are about it. What decides is what quota.Subject says.
-- ARGV after the claims of all subjects: of each request that asks 1, tokens that it may use, how many subjects, their numbers; of
-- each that has ended 2, tokens that were reserved, and used, how many subjects, their numbers. Who asks is let in for all its subjects
-- or for none.
local many = (#KEYS - 3) / 2
local subjects = {}
for i = 1, many do subjects[i] = open(i, 3 + (i - 1) * claimed) end
local at = 3 + many * claimed

-- Reads the next number.
local function read()
  local v = tonumber(ARGV[at])
  at = at + 1
  return v
end

local function list()
  local of = {}
  for i = 1, read() do of[i] = subjects[read()] end
  return of
end

-- Milliseconds until at least n of the sum has slid out of the minute.
local function frees(s, ring, n)
  local fields, after = {}, 0
  for i = 1, span do fields[i] = ring .. (second + i) % span end
  for i, v in ipairs(redis.call('HMGET', s.key, unpack(fields))) do
    if n <= 0 then break end
    local counted = number(v)
    if i == span then counted = s.now[ring] + s.added[ring] end
    if counted > 0 then after, n = i, n - counted end
  end
  return after * 1000 - micro / 1000
end

-- Why a request does not fit; nil where it does. Of several reasons the one that is longest in the way.
local function refuses(of, expect)
  local why
  local function note(i, kind, used, after, till)
    after = math.floor(math.min(math.max(after, 1000), 60000))
    if not why or after > why[4] then why = {i - 1, kind, used, after, till or 0} end
  end
  for i, s in ipairs(of) do
    if s.most > 0 and s.flying >= s.most then note(i, 3, s.flying, 0) end
    if s.rpm > 0 and s.requests >= s.rpm then note(i, 1, s.requests, frees(s, 'r', s.requests - s.rpm + 1)) end
    if expect > 0 and s.tpm > 0 then
      local over = s.tokens + s.reserved + math.min(expect, s.tpm) - s.tpm
      if over > 0 then note(i, 2, s.tokens + s.reserved, frees(s, 't', over)) end
    end
    if expect > 0 and s.budget > 0 then
      local need = math.min(expect, s.budget)
      if s.spent + s.reserved + need > s.budget then
        local after, till = 0, 0 -- those in flight are in the way
        if s.spent + need > s.budget then
          after = 60000
          if s.window ~= '' then after, till = (s.till - raw) * 1000 - micro / 1000, s.till end
        end
        note(i, 4, s.spent + s.reserved, after, till)
      end
    end
  end
  return why
end

local reply = {}
local function say(...)
  for _, v in ipairs({...}) do reply[#reply + 1] = v end
end

local function take()
  local expect = read()
  local of = list()
  local why = refuses(of, expect)
  if why then say(0, why[1], why[2], why[3], why[4], why[5]) else say(1, 0, 0, 0, 0, 0) end
  for _, s in ipairs(of) do
    if not why then
      s.flying, s.ownflying = s.flying + 1, s.ownflying + 1
      s.reserved, s.ownreserved = s.reserved + expect, s.ownreserved + expect
      if s.rpm > 0 then
        s.requests, s.ownrequests, s.lastrequest = s.requests + 1, s.ownrequests + 1, second
        count(s, 'r', 1)
      end
    end
    elsewhere(s, reply)
  end
end

local function settle()
  local held, used = read(), read()
  for _, s in ipairs(list()) do
    if s.ownflying > 0 then
      local back = math.min(held, s.ownreserved)
      s.flying, s.ownflying = s.flying - 1, s.ownflying - 1
      s.reserved, s.ownreserved = s.reserved - back, s.ownreserved - back
    end
    if s.tpm > 0 and used > 0 then
      s.tokens, s.owntokens, s.lasttoken = s.tokens + used, s.owntokens + used, second
      count(s, 't', used)
    end
    if s.budget > 0 then s.spent, s.ownspent, s.told = s.spent + used, s.ownspent + used, s.told + used end
  end
end

while ARGV[at] do
  if read() == 1 then take() else settle() end
end
for _, s in ipairs(subjects) do close(s) end
return reply
