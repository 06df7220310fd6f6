#!lua
-- Keeps the newest copy of the catalog, and tells who listens.
-- KEYS  the catalog, a hash
-- ARGV  its version, its text ("" where it is too long), the version that this one replaces
--       although it is higher ("" for none)
-- -> 1 where it was taken, else 0
local found = redis.call('HGET', KEYS[1], 'version')
if found and found ~= ARGV[3] and tonumber(found) >= tonumber(ARGV[1]) then
    return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'text', ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
