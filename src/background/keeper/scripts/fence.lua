#!lua flags=allow-oom
-- KEYS: the partition's meta. ARGV: the epoch in which it was found to have lost writes.
-- Nobody decides by the partition any more, unless another epoch has begun. Gives: 1 where held.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 's', 'b', 'h', '1')
return 1
