-- lua-http-kept.lua URL CONCURRENCY REQUESTS: lua-http 0.4 on Lua 5.3, with connections that the
-- program keeps by hand, one for each caller: the fastest way it knows, and HTTP/1.1.

-- Debian keeps one of its parts for 5.1 only.
package.path = "bench/?.lua;" .. package.path .. ";/usr/share/lua/5.1/?.lua"

local cjson = require "cjson"
local client = require "http.client"
local cqueues = require "cqueues"
local headers = require "http.headers"
local usage = require "usage"

local url, concurrency, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])
local host, port, path = url:match("^http://([^:/]+):(%d+)(/.*)$")

local function question()
  local all = headers.new()
  all:append(":method", "GET")
  all:append(":scheme", "http")
  all:append(":authority", host .. ":" .. port)
  all:append(":path", path)
  all:append("accept", "application/json")
  all:append("x-api-key", "bench")
  return all
end

local began, cpu = cqueues.monotime(), os.clock()
local loop, left = cqueues.new(), requests
for _ = 1, concurrency do
  loop:wrap(function()
    local connection = assert(client.connect { host = host, port = tonumber(port), version = 1.1 })
    while left > 0 do
      left = left - 1
      local stream = connection:new_stream()
      assert(stream:write_headers(question(), true))
      assert(stream:get_headers())
      assert(cjson.decode(assert(stream:get_body_as_string())).code == 1000)
    end
    connection:close()
  end)
end
assert(loop:loop())
usage.report { requests = requests, seconds = cqueues.monotime() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
