-- lua-socket.lua URL CONCURRENCY REQUESTS [CA_FILE]: LuaSocket's http, LuaSec's https for TLS, on Lua
-- 5.4. One request at a time, each on a connection of its own.

package.path = "bench/?.lua;" .. package.path

local cjson = require "cjson"
local ltn12 = require "ltn12"
local socket = require "socket"
local usage = require "usage"

local url, requests, ca_file = arg[1], tonumber(arg[3]), arg[4]
local http = ca_file and require "ssl.https" or require "socket.http"

local began, cpu = socket.gettime(), os.clock()
for _ = 1, requests do
  local body = {}
  assert(http.request {
    url = url,
    headers = { ["Accept"] = "application/json", ["x-api-key"] = "bench" },
    sink = ltn12.sink.table(body),
    cafile = ca_file,
    verify = ca_file and "peer",
  })
  assert(cjson.decode(table.concat(body)).code == 1000)
end
usage.report { requests = requests, seconds = socket.gettime() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
