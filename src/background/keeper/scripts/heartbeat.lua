#!lua flags=allow-oom
-- KEYS: the nodes. ARGV: this node.
-- Leaves a sign of life by the clock of Redis, and forgets nodes that were silent for a day.
-- Gives: time in ms, then each node and its latest sign.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now))
local nodes = redis.call('HGETALL', KEYS[1])
for place = 1, #nodes, 2 do
  if now - (tonumber(nodes[place + 1]) or 0) > 86400000 then
    redis.call('HDEL', KEYS[1], nodes[place])
  end
end
return { now, nodes }
