#!lua
-- Keeps pauses and archives for other nodes. One that has ended stays so, whatever an older copy
-- of it says.
-- KEYS  the entries, a hash: id -> JSON; under '#' a number that differs after each change
-- ARGV  that number, then for each entry its id, its JSON and '1' where it has ended, else '0'
-- -> the number of those that were put
local count = 0
for index = 2, #ARGV, 3 do
    local id, text, ended = ARGV[index], ARGV[index + 1], ARGV[index + 2]
    local found = redis.call('HGET', KEYS[1], id)
    local stays = found and (found == text or
        (ended == '0' and string.find(found, '"ended_at":', 1, true)))
    if not stays then
        redis.call('HSET', KEYS[1], id, text)
        count = count + 1
    end
end
if count > 0 then
    redis.call('HSET', KEYS[1], '#', ARGV[1])
end
return count
