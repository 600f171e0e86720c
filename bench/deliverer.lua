-- deliverer.lua PORT DELIVERIES CONCURRENCY: posts so many webhooks about as many jobs, so many at once
-- and each over a connection of its own; every tenth is posted again after a thousand others. Prints how
-- many answers were 200. They are sealed beforehand, and the clock starts then.

local usage = require "usage"
local uv = require "luv"
local webhook = require "akool.lipsync.webhook"

local port, deliveries, concurrency = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3])
local PAIR = { client_id = "bench", client_secret = ("s"):rep(32) }
local HEAD = "POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n"

local requests, recent, good = {}, {}, 0

for i = 1, deliveries do
  local body = assert(webhook.seal({ id = ("%024x"):format(i), status = "completed",
    video = "https://example.com/film.mp4" }, PAIR))
  local request = HEAD:format(#body) .. body
  requests[#requests + 1] = request
  if i % 10 == 0 then
    recent[#recent + 1] = request
    requests[#requests + 1] = recent[#recent - 100]
  end
end

local at = 0

local function post()
  at = at + 1
  local request = requests[at]
  if not request then return end
  local socket, answer = uv.new_tcp(), ""
  socket:connect("127.0.0.1", port, function(err)
    assert(not err, err)
    socket:write(request)
    socket:read_start(function(_, bytes)
      if bytes then
        answer = answer .. bytes
        return
      end
      if answer:find "^HTTP/1%.1 200 " then good = good + 1 end
      socket:close()
      post()
    end)
  end)
end

local began = uv.hrtime()
for _ = 1, concurrency do post() end
uv.run()
usage.report { posted = #requests, good = good, seconds = (uv.hrtime() - began) / 1e9 }
