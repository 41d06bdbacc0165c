-- KEYS[1] the world's own key; ARGV[1] the owner. The token stays, so that the next one is higher.
local key = KEYS[1] .. ':lease'
if redis.call('HGET', key, 'owner') == ARGV[1] then
  redis.call('HSET', key, 'owner', '', 'until', 0)
end
return 1
