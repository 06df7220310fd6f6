-- Peer: the job in nginx with Lua and Redis.
--
-- Does: one HGETALL for each request on a connection of the pool; the first of eight popups that
-- the user has not seen is shown; HSET and RPUSH in one pipeline before the answer leaves.
-- Does not: targets, gaps, caps, windows, events, tokens that can be checked, a second look (two
-- requests of one user at once both show), anything while Redis is away, records in SQL.
local redis = require "nginx.redis"

local port = tonumber(os.getenv("REDIS_PORT"))
local body_bytes = 180
local popups = {}
for number = 7, 0, -1 do
  popups[#popups + 1] = "campaign-" .. number
end

local function padded(body)
  return body .. string.rep(" ", body_bytes - #body)
end
local nothing = padded('{"decision":null,"popup":null,"reason":"nothing_left","next_in":null}')

-- The first popup that is in none of the pairs of HGETALL.
local function unseen(pairs_)
  local seen = {}
  for place = 1, #pairs_, 2 do
    seen[pairs_[place]] = true
  end
  for place = 1, #popups do
    if not seen[popups[place]] then
      return popups[place]
    end
  end
end

local function decide(client, user)
  local key = "u:" .. user
  local held, failure = client:hgetall(key)
  if not held then
    return nil, failure
  end
  local popup = unseen(held)
  if not popup then
    return nothing
  end
  local now = math.floor(ngx.now() * 1000)
  client:init_pipeline(2)
  client:hset(key, popup, now)
  client:rpush("shows", '{"user":"' .. user .. '","popup":"' .. popup .. '","at":' .. now .. "}")
  local done, pipeline_failure = client:commit_pipeline()
  if not done then
    return nil, pipeline_failure
  end
  return padded('{"decision":"' .. user .. "." .. popup .. "." .. now .. '","popup":{"id":"' .. popup
    .. '","version":1,"content":{"title":"Campaign","text":"Something worth a look"}},"expires_in":30}')
end

local function answer()
  local user = ngx.var.arg_user
  local client = redis:new()
  client:set_timeout(1000)
  local connected = client:connect("127.0.0.1", port)
  local body = connected and user and decide(client, user)
  if not body then
    return ngx.exit(503)
  end
  client:set_keepalive(60000, 256)
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end

return { answer = answer }
