-- KEYS[1] the world's own key; ARGV[1] the highest epoch the caller has seen. Answers the epoch.
local epoch = tonumber(redis.call('GET', KEYS[1]))
local seen = tonumber(ARGV[1])
if not epoch or epoch < seen then
  local clock = redis.call('TIME')
  epoch = math.max(tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000), seen + 1)
  redis.call('SET', KEYS[1], string.format('%.0f', epoch))
end
return epoch
