#!lua flags=allow-oom
-- KEYS: the partition's meta. ARGV: the new epoch, the epoch that must be there or empty for none,
--   how many keys which run had evicted, why users may vanish or empty.
-- Begins the epoch: nobody decides by the partition until the journals are in SQL.
-- Gives: 1 where it was begun.
if (redis.call('HGET', KEYS[1], 'e') or '') ~= ARGV[2] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'c', '0', 's', 'b', 'x', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'v', ARGV[4])
end
return 1
