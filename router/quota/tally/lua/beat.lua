-- A box is there: it holds its lease, or begins anew with a greater epoch, and gives back what boxes held that are gone.
-- KEYS: fence, boxes, born. ARGV: epoch, box, lease in milliseconds, 1 to begin anew, before the names of other keys.
local epoch, box, lease, before = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[5]
local held = tonumber(redis.call('GET', KEYS[1]) or nil)
if ARGV[4] == '1' then
  if held and held >= epoch then return redis.error_reply('STALE there was a later one') end
elseif held ~= epoch then
  return redis.error_reply('STALE this box has begun anew, or was given up')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', lease)
redis.call('ZADD', KEYS[2], now + lease, box)
redis.call('EXPIRE', KEYS[2], 86400)
redis.call('SET', KEYS[3], now, 'NX')
redis.call('EXPIRE', KEYS[3], 86400)
-- One second more than the lease: no fence is there any more.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 1000, 'LIMIT', 0, 4)) do
  local has = before .. 'has:' .. gone
  for _ = 1, 250 do
    local key = redis.call('SPOP', has)
    if not key then break end
    local mine = redis.call('HMGET', key, 'c:' .. gone, 'v:' .. gone)
    if mine[1] then
      redis.call('HINCRBY', key, 'c', -tonumber(mine[1]))
      redis.call('HINCRBY', key, 'v', -tonumber(mine[2] or 0))
      redis.call('HDEL', key, 'c:' .. gone, 'v:' .. gone)
    end
  end
  if redis.call('EXISTS', has) == 0 then redis.call('ZREM', KEYS[2], gone) end
end
return {redis.call('ZCOUNT', KEYS[2], now, '+inf'), math.abs(now - tonumber(redis.call('GET', KEYS[3])))}
