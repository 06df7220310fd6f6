-- wrk script: 97 % of answers "nothing", 3 % shows (eight popups once a user,
-- tools/load/popups-8.toml). Known users, who have seen everything, in turn; each 33rd request is of
-- a new user, who comes eight times and is shown something each time.
--   NUDGED_ROUND=a wrk -t1 -c64 -d10s -s tools/load/mixed.lua http://127.0.0.1:8080
local users = tonumber(os.getenv("NUDGED_USERS") or "20000")
local known = os.getenv("NUDGED_KNOWN") or "known-0"
local name = os.getenv("NUDGED_ROUND") or "mixed"
local count, shows = 0, 0
function request()
  count = count + 1
  if count % 33 == 0 then
    -- 64 new users side by side, so that no connection waits for another's show.
    local user = math.floor(shows / 512) * 64 + shows % 64
    shows = shows + 1
    return wrk.format("GET", "/v1/decide?user=" .. name .. "-new-" .. user .. "&placement=home")
  end
  return wrk.format("GET", "/v1/decide?user=" .. known .. "-" .. count % users .. "&placement=home")
end
