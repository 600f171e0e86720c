-- curl-command.lua URL CONCURRENCY REQUESTS [CA_FILE]: the curl command for each poll, as a script
-- would: io.popen, one at a time, on Lua 5.4.

package.path = "bench/?.lua;" .. package.path

local cjson = require "cjson"
local socket = require "socket" -- for a clock
local usage = require "usage"

local url, requests, ca_file = arg[1], tonumber(arg[3]), arg[4]
local TICKS = 100 -- a second, in /proc on every Linux

--- CPU seconds of this process and of the children it has waited for.
local function cpu_seconds()
  local file = assert(io.open("/proc/self/stat"))
  local fields = file:read("a"):match("%) (.*)$")
  file:close()
  local sum, at = 0, 0
  for field in fields:gmatch("%S+") do
    at = at + 1
    if at >= 12 and at <= 15 then sum = sum + tonumber(field) end -- utime, stime, cutime, cstime
  end
  return sum / TICKS
end

local command = ("curl --silent --fail %s--header 'Accept: application/json' "
  .. "--header 'x-api-key: bench' '%s'")
  :format(ca_file and ("--cacert '%s' "):format(ca_file) or "", url)
local began, cpu = socket.gettime(), cpu_seconds()
for _ = 1, requests do
  local pipe = assert(io.popen(command))
  local body = pipe:read("a")
  assert(pipe:close())
  assert(cjson.decode(body).code == 1000)
end
usage.report { requests = requests, seconds = socket.gettime() - began, cpu = cpu_seconds() - cpu,
  peak_kb = usage.peak_rss() }
