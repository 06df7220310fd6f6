#!lua flags=allow-oom
-- KEYS: a partition's list. ARGV: epoch and number (12 bytes) of the last entry that SQL has, how
-- many entries to look at.
-- Drops the entries at its head up to that one, by what they say of themselves and not by their
-- place: another node may have dropped some. Gives: how many were dropped.
local entries = redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
local count = 0
for _, entry in ipairs(entries) do
  for place = 1, 12 do
    local standing, last = string.byte(entry, place) or 0, string.byte(ARGV[1], place)
    if standing > last then
      entry = nil
      break
    end
    if standing < last then
      break
    end
  end
  if not entry then
    break
  end
  count = count + 1
end
if count > 0 then
  redis.call('LTRIM', KEYS[1], count, -1)
end
return count
