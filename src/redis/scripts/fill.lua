#!lua
-- KEYS: a user's value, the partition's meta.
-- ARGV: revision (12 bytes), state, ttl in ms or 0.
-- Writes the value where there is none or one of a lower revision.
-- Gives: time in ms, epoch or -1, counter, phase, the value that stands.
local time = redis.call('TIME')
local meta = redis.call('HMGET', KEYS[2], 'e', 'c', 's', 'v')
local value = redis.call('GET', KEYS[1])

-- Texts would be compared by the server's locale, so bytes are compared one by one.
local function is_lower(left, right)
  for place = 1, 12 do
    local a, b = string.byte(left, place), string.byte(right, place)
    if a ~= b then
      return a < b
    end
  end
  return false
end

-- A value too short for its head is none of ours and stays for people to look at.
if not value or (#value >= 13 and is_lower(value, ARGV[1])) then
  value = ARGV[1] .. string.char(0) .. ARGV[2]
  if ARGV[3] == '0' then
    redis.call('SET', KEYS[1], value)
  else
    redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
  end
end
return {
  time[1] * 1000 + math.floor(time[2] / 1000),
  tonumber(meta[1] or -1) or -1,
  tonumber(meta[2] or 0) or 0,
  (meta[3] or '') .. (meta[4] and 'v' or ''),
  value,
}
