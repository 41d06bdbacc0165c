-- KEYS[1] the world's own key; ARGV rooms. Answers {epoch, seq, sum, {entity, stamped blob, ...}, seq, ...} of one moment.
local answer = {tonumber(redis.call('GET', KEYS[1])) or 0}
for index = 1, #ARGV do
  local meta = redis.call('HMGET', KEYS[1] .. ':m:' .. ARGV[index], 'seq', 'sum')
  answer[#answer + 1] = tonumber(meta[1]) or 0
  answer[#answer + 1] = tonumber(meta[2]) or 0
  answer[#answer + 1] = redis.call('HGETALL', KEYS[1] .. ':e:' .. ARGV[index])
end
return answer
