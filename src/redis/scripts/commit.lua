#!lua
-- KEYS: a user's value, the partition's meta, its list where records queue in Redis.
-- ARGV: base revision (12 bytes, or empty for absent), request id (8), now and valid_until in ms,
--   revision (12), state, ttl in ms or 0, channel or empty, user;
--   with a list: its largest length, then the records; else how many records there are.
-- Gives: time in ms, epoch or -1, counter, phase, verdict, value or nil.
-- Everything is read, with its type, before the first write: what a failed script wrote stays.
-- A number that is read from a text takes as long as three comparisons, so few are.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = redis.call('HMGET', KEYS[2], 'e', 'c', 's', 'v')
local epoch = tonumber(meta[1] or -1) or -1
local phase = meta[3] or ''
local value = redis.call('GET', KEYS[1])
local waiting = KEYS[3] and redis.call('LLEN', KEYS[3]) or 0
local request, revision = ARGV[2], ARGV[5]

local function answer(verdict, standing, counter)
  counter = counter or tonumber(meta[2] or 0) or 0
  return { now, epoch, counter, meta[4] and phase .. 'v' or phase, verdict, standing or false }
end

-- The ids of the latest commits, newest first. A repetition is done, however late it comes. Only
-- where the bytes of one stand somewhere in them is it looked at which they are.
local base, ids = '', ''
if value then
  base = string.sub(value, 1, 12)
  ids = string.sub(value, 14, 13 + 8 * math.min(string.byte(value, 13) or 0, 4))
  for place = 1, string.find(ids, request, 1, true) and #ids or 0, 8 do
    if string.sub(ids, place, place + 7) == request then
      return answer('done', base ~= revision and value)
    end
  end
end

if epoch < 0 or phase == 'b' then
  return answer('lost')
end
if now > tonumber(ARGV[4]) or tonumber(ARGV[3]) > now + 100 then
  return answer('late')
end
-- A state of another epoch may have been made from a copy from before a loss, as may one that was
-- made from nothing: the caller has to read again, and is told the epoch.
if struct.unpack('>I4', revision) ~= epoch or base ~= ARGV[1] then
  return answer('moved', value)
end
local records = KEYS[3] and #ARGV - 10 or ARGV[10]
if KEYS[3] and waiting + records > tonumber(ARGV[10]) then
  return answer('full')
end

-- What can be refused for want of permission comes first.
if ARGV[8] ~= '' then
  redis.call('PUBLISH', ARGV[8], revision .. ARGV[9])
end
local counter = redis.call('HINCRBY', KEYS[2], 'c', records)
for place = 1, KEYS[3] and records or 0 do
  local number = counter - records + place
  local head = struct.pack('>I4', epoch) .. struct.pack('>I8', number)
  redis.call('RPUSH', KEYS[3], head .. ARGV[10 + place])
end
ids = request .. string.sub(ids, 1, 24)
local new = revision .. string.char(#ids / 8) .. ids .. ARGV[6]
if ARGV[7] == '0' then
  redis.call('SET', KEYS[1], new)
else
  redis.call('SET', KEYS[1], new, 'PX', ARGV[7])
end
return answer('done', false, counter)
