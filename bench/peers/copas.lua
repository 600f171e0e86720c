-- copas.lua URL CONCURRENCY REQUESTS: Debian's Copas 1.2.0 under LuaSocket's http, on Lua 5.1. Each
-- request has a connection of its own. It has no TLS.

package.path = "bench/?.lua;" .. package.path

local cjson = require "cjson"
local copas = require "copas" -- which has to be the first of the four
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"
local usage = require "usage"

local url, concurrency, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])

--- A socket for LuaSocket's http whose waits are Copas's.
local function create()
  local raw = socket.tcp()
  raw:settimeout(0)
  return {
    connect = function(_, host, port) return copas.connect(raw, host, port) end,
    send = function(_, data, first, last) return copas.send(raw, data, first, last) end,
    receive = function(_, pattern, prefix) return copas.receive(raw, pattern, prefix) end,
    settimeout = function() return 1 end,
    close = function() return raw:close() end,
  }
end

local began, cpu, answered = socket.gettime(), os.clock(), 0
usage.share_out(requests, concurrency, function()
  local body = {}
  assert(http.request {
    url = url,
    headers = { ["Accept"] = "application/json", ["x-api-key"] = "bench" },
    sink = ltn12.sink.table(body),
    create = create,
  })
  assert(cjson.decode(table.concat(body)).code == 1000)
  answered = answered + 1
end, copas.addthread)
while answered < requests do copas.step() end -- its loop would never end
usage.report { requests = requests, seconds = socket.gettime() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
