#!lua flags=no-writes
-- KEYS: the partition's meta.
-- Gives: time in ms, epoch or -1, counter, phase.
local time = redis.call('TIME')
local meta = redis.call('HMGET', KEYS[1], 'e', 'c', 's', 'v')
return {
  time[1] * 1000 + math.floor(time[2] / 1000),
  tonumber(meta[1] or -1) or -1,
  tonumber(meta[2] or 0) or 0,
  (meta[3] or '') .. (meta[4] and 'v' or ''),
}
