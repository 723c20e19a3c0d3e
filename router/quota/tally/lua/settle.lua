-- The end of a request that was let in. ARGV[3], ARGV[4]: tokens that were reserved, and used.
local held, used = tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, (#KEYS - 3) / 2 do
  local s = open(i, 5 + (i - 1) * claimed)
  if s.ownflying > 0 then
    local back = math.min(held, s.ownreserved)
    s.flying, s.ownflying = s.flying - 1, s.ownflying - 1
    s.reserved, s.ownreserved = s.reserved - back, s.ownreserved - back
  end
  if s.tpm > 0 and used > 0 then
    s.tokens, s.owntokens, s.lasttoken = s.tokens + used, s.owntokens + used, second
    count(s, 't', second, used)
  end
  if s.budget > 0 then s.spent, s.ownspent, s.told = s.spent + used, s.ownspent + used, s.told + used end
  close(s)
end
return 1
