-- KEYS[1] the world's own key; ARGV rooms. Answers {epoch, seq, ...} of one moment.
local answer = {tonumber(redis.call('GET', KEYS[1])) or 0}
for index = 1, #ARGV do
  answer[index + 1] = tonumber(redis.call('HGET', KEYS[1] .. ':m:' .. ARGV[index], 'seq')) or 0
end
return answer
