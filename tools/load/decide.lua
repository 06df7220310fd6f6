-- wrk script: decisions of 20,000 users in turn, each thread with users of its own.
--   wrk -t1 -c64 -d10s -s tools/load/decide.lua http://127.0.0.1:8080
local users = tonumber(os.getenv("NUDGED_USERS") or "20000")
local name = os.getenv("NUDGED_KNOWN") or "user"
local query = os.getenv("NUDGED_QUERY") or ""
local thread = 0
function setup(worker)
  worker:set("first", thread * users)
  thread = thread + 1
end
function init(arguments)
  user = 0
end
function request()
  user = (user + 1) % users
  local path = "/v1/decide?user=" .. name .. "-" .. (first + user) .. "&placement=home" .. query
  return wrk.format("GET", path)
end
