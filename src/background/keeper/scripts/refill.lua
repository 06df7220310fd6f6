#!lua
-- KEYS: a user's value. ARGV: revision (12 bytes), state, ttl in ms or 0, 1 to leave absent absent.
-- Writes the value where there is none or one of a lower revision; one that stands and is to live
-- for ever lives for 50 years, where its life was bounded. Gives: 1 where it was written.
local value = redis.call('GET', KEYS[1])
if value and ARGV[3] == '0' then
  redis.call('PEXPIRE', KEYS[1], '1576800000000', 'XX')
end
if value then
  -- Texts would be compared by the server's locale, so bytes are compared one by one. A value too
  -- short for its head is none of ours and stays for people to look at.
  if #value < 13 then
    return 0
  end
  for place = 1, 13 do
    local standing, given = string.byte(value, place), string.byte(ARGV[1], place)
    if not given or standing > given then
      return 0
    end
    if standing < given then
      break
    end
  end
elseif ARGV[4] == '1' then
  return 0
end
local new = ARGV[1] .. string.char(0) .. ARGV[2]
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], new)
else
  redis.call('SET', KEYS[1], new, 'PX', ARGV[3])
end
return 1
