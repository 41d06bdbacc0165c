-- KEYS[1] the world's own key; ARGV[1] a room. Answers {epoch, seq, sum, {entity, stamped blob, ...}} of one moment.
local meta = redis.call('HMGET', KEYS[1] .. ':m:' .. ARGV[1], 'seq', 'sum')
return {
  tonumber(redis.call('GET', KEYS[1])) or 0,
  tonumber(meta[1]) or 0,
  tonumber(meta[2]) or 0,
  redis.call('HGETALL', KEYS[1] .. ':e:' .. ARGV[1]),
}
