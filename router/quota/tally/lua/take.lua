-- Lets one request in for all its subjects or for none. ARGV[3]: tokens that it may use. What decides is what quota.Subject says.
local expect = tonumber(ARGV[3])
local subjects = {}
for i = 1, (#KEYS - 3) / 2 do subjects[i] = open(i, 4 + (i - 1) * claimed) end

-- Milliseconds until at least n of the sum has slid out of the minute.
local function frees(s, ring, n)
  local fields, after = {}, 0
  for i = 1, span do fields[i] = ring .. (second + i) % span end
  for i, v in ipairs(redis.call('HMGET', s.key, unpack(fields))) do
    if n <= 0 then break end
    if number(v) > 0 then after, n = i, n - number(v) end
  end
  return after * 1000 - micro / 1000
end

local why
local function note(i, kind, used, after, till)
  after = math.floor(math.min(math.max(after, 1000), 60000))
  if not why or after > why[4] then why = {i - 1, kind, used, after, till or 0} end
end
for i, s in ipairs(subjects) do
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
local reply = why and {0, why[1], why[2], why[3], why[4], why[5]} or {1, 0, 0, 0, 0, 0}
for _, s in ipairs(subjects) do
  if not why then
    s.flying, s.ownflying = s.flying + 1, s.ownflying + 1
    s.reserved, s.ownreserved = s.reserved + expect, s.ownreserved + expect
    if s.rpm > 0 then
      s.requests, s.ownrequests, s.lastrequest = s.requests + 1, s.ownrequests + 1, second
      count(s, 'r', second, 1)
    end
  end
  close(s)
  elsewhere(s, reply)
end
return reply
