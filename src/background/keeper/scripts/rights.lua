#!lua flags=no-writes
-- ARGV: commands, each as the number of its words and then these.
-- Tries each. Rights are looked at before anything else, and a script that may not write changes
-- nothing, so what is refused for another reason would be let.
-- Gives: for each what was said against it, or empty.
local said = {}
local place = 1
while place <= #ARGV do
  local count = tonumber(ARGV[place])
  local reply = redis.pcall(unpack(ARGV, place + 1, place + count))
  said[#said + 1] = type(reply) == 'table' and reply.err or ''
  place = place + 1 + count
end
return said
