-- KEYS[1] the world's own key; ARGV worker, a fresh word. Write first, then publish, as a commit does.
redis.call('SET', KEYS[1] .. ':p:' .. ARGV[1], ARGV[2], 'PX', 60000)
redis.call('SPUBLISH', KEYS[1] .. ':p:' .. ARGV[1], ARGV[2])
return 1
