-- wrk script: each request is a show (eight popups once a user, tools/load/popups-8.toml): the users
-- of a round in turn, eight times, then users of the next round. The first pass of a round finds
-- them nowhere, the others in the slice.
--   NUDGED_ROUND=a wrk -t1 -c64 -d10s -s tools/load/shows.lua http://127.0.0.1:8080
local users = tonumber(os.getenv("NUDGED_USERS") or "5000")
local name = os.getenv("NUDGED_ROUND") or "round"
local count = 0
function request()
  local user = count % users
  local round = math.floor(count / (users * 8))
  count = count + 1
  return wrk.format("GET", "/v1/decide?user=" .. name .. "-" .. round .. "-" .. user .. "&placement=home")
end
