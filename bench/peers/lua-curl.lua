-- lua-curl.lua URL CONCURRENCY REQUESTS [CA_FILE]: Debian's lua-curl 0.3.0, on Lua 5.1. It knows easy
-- handles only, so that one request is under way at a time; the connection is kept.

package.path = "bench/?.lua;" .. package.path

local cjson = require "cjson"
local curl = require "curl"
local socket = require "socket" -- for a clock
local usage = require "usage"

local url, requests, ca_file = arg[1], tonumber(arg[3]), arg[4]

local easy, body = curl.easy_init(), {}
easy:setopt(curl.OPT_URL, url)
easy:setopt(curl.OPT_HTTPHEADER, { "Accept: application/json", "x-api-key: bench" })
if ca_file then easy:setopt(curl.OPT_CAINFO, ca_file) end
easy:setopt(curl.OPT_WRITEFUNCTION, function(data)
  body[#body + 1] = data
  return #data
end)

local began, cpu = socket.gettime(), os.clock()
for _ = 1, requests do
  body = {}
  assert(easy:perform() == 0)
  assert(cjson.decode(table.concat(body)).code == 1000)
end
usage.report { requests = requests, seconds = socket.gettime() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
