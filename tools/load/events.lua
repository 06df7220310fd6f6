-- wrk script: arrays of 20 events, each of them new: of each decision of a file, one token a line,
-- first that it was shown, then that it was clicked, and so on. Ends where there are no more.
--   NUDGED_TOKENS=FILE wrk -t1 -c64 -d10s -s tools/load/events.lua http://127.0.0.1:8080
local actions = { "shown", "clicked", "dismissed", "ignored", "converted" }
local per_request = 20
local tokens, place, action = {}, 1, 1
function init(arguments)
  for token in io.lines(os.getenv("NUDGED_TOKENS")) do
    tokens[#tokens + 1] = token
  end
  wrk.headers["Content-Type"] = "application/json"
end
function request()
  if place > #tokens then
    place, action = 1, action + 1
  end
  if not actions[action] then
    wrk.thread:stop()
    return wrk.format("GET", "/health")
  end
  local events, rest = {}, '","action":"' .. actions[action] .. '"}'
  for number = place, math.min(place + per_request - 1, #tokens) do
    events[#events + 1] = '{"decision":"' .. tokens[number] .. rest
  end
  place = place + per_request
  return wrk.format("POST", "/v1/events", nil, "[" .. table.concat(events, ",") .. "]")
end
