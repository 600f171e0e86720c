-- lua-http.lua URL CONCURRENCY REQUESTS [CA_FILE]: lua-http 0.4 on cqueues, on Lua 5.3. As its own
-- request:go does it, each request has a connection of its own.

-- Debian keeps one of its parts for 5.1 only.
package.path = "bench/?.lua;" .. package.path .. ";/usr/share/lua/5.1/?.lua"

local cjson = require "cjson"
local cqueues = require "cqueues"
local request = require "http.request"
local tls = require "http.tls"
local usage = require "usage"

local url, concurrency, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])

local context
if arg[4] then
  context = tls.new_client_context()
  context:getStore():add(arg[4])
end

local began, cpu = cqueues.monotime(), os.clock()
local loop = cqueues.new()
usage.share_out(requests, concurrency, function()
  local one = request.new_from_uri(url)
  one.headers:upsert("accept", "application/json")
  one.headers:upsert("x-api-key", "bench")
  one.ctx = context
  local _, stream = assert(one:go(30))
  assert(cjson.decode(assert(stream:get_body_as_string())).code == 1000)
end, function(work) loop:wrap(work) end)
assert(loop:loop())
usage.report { requests = requests, seconds = cqueues.monotime() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
