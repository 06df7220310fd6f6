#!lua flags=allow-oom
-- KEYS: the partition's meta. ARGV: the epoch and the phase that must be there, the next phase or
-- empty for open. Gives: 1 where it was changed.
local meta = redis.call('HMGET', KEYS[1], 'e', 's', 'h')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] or meta[3] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 's')
else
  redis.call('HSET', KEYS[1], 's', ARGV[3])
end
return 1
