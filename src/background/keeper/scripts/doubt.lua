#!lua flags=allow-oom
-- KEYS: the partition's meta. ARGV: its epoch, why users may vanish from it.
-- From now on, and until a new epoch, a user who is missing proves nothing. Gives: 1 where it was
-- marked.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[2])
return 1
