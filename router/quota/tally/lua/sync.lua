-- Puts what a box itself has counted for one subject in the place of what was known of it: to say it twice changes nothing.
-- ARGV after the claim: in flight, reserved, spent, 1 where the box knows that it was told here before; then, for
-- requests and for tokens, how many seconds follow, and of each how long ago it was and what was counted in it.
local s = open(1, 3)
local at = 3 + claimed
local flying, held, spent, told = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3] == '1'
at = at + 4

local function ring(name, limited)
  local mine, last, change, fields = {}, 0, 0, {}
  for _ = 1, tonumber(ARGV[at]) do
    local ago = tonumber(ARGV[at + 1])
    mine[ago] = tonumber(ARGV[at + 2])
    last = math.max(last, second - ago)
    at = at + 2
  end
  at = at + 1
  if not limited then return 0, 0 end
  for ago = 0, span - 1 do fields[ago + 1] = name .. (second - ago) % span end
  for i, v in ipairs(redis.call('HMGET', s.own, unpack(fields))) do
    local delta = (mine[i - 1] or 0) - number(v)
    if delta ~= 0 then
      local field = name .. (second - (i - 1)) % span
      redis.call('HINCRBY', s.key, field, delta)
      redis.call('HINCRBY', s.own, field, delta)
    end
    change = change + delta
  end
  return change, last
end
local change, last = ring('r', s.rpm > 0)
s.requests, s.ownrequests, s.lastrequest = s.requests + change, s.ownrequests + change, math.max(s.lastrequest, last)
change, last = ring('t', s.tpm > 0)
s.tokens, s.owntokens, s.lasttoken = s.tokens + change, s.owntokens + change, math.max(s.lasttoken, last)
s.flying, s.ownflying = s.flying + flying - s.ownflying, flying
s.reserved, s.ownreserved = s.reserved + held - s.ownreserved, held
if s.budget > 0 and s.since == s.from then
  s.told = s.told + spent - s.ownspent
  if s.hasown or not told then
    s.spent = s.spent + spent - s.ownspent
  else -- what was known here is lost: it is no less than what any box knew, and than what all have told anew
    s.spent = math.max(s.spent, s.known + spent, s.told)
  end
  s.ownspent = spent
end
close(s)
local reply = {}
elsewhere(s, reply)
return reply
