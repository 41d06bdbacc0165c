-- KEYS[1] the world's own key; ARGV owner, ttl in ms, the highest token the caller has seen. Answers {owner, token}.
local key = KEYS[1] .. ':lease'
local lease = redis.call('HMGET', key, 'owner', 'token', 'until')
local owner, token, ends = lease[1] or '', tonumber(lease[2]) or 0, tonumber(lease[3]) or 0
local caller, ttl, seen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
if owner == caller and token >= seen then
  redis.call('HSET', key, 'until', now + ttl)
elseif owner == caller or owner == '' or ends <= now then
  owner, token = caller, math.max(token, now, seen) + 1
  redis.call('HSET', key, 'owner', owner, 'token', token, 'until', now + ttl)
end
return {owner, token}
