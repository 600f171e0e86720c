-- program.lua SCENARIO [NAME=VALUE …]: a scenario as a program of its own, so that a tracer can
-- fail its system calls. What happens between the two marks is what the library does; loading it
-- came before, and the report comes after.
--
-- The marks are calls of readlink, which the library never makes. The report goes out by writev,
-- which it never makes either: so a fault that lasts cannot keep us from telling how it went.

package.path = arg[0]:gsub("[^/]*$", "../?.lua;") .. package.path

local core = require "akool.lipsync.core"
local json = require "cjson"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local scenario = require("system.scenarios." .. arg[1])
local given = {}
for i = 2, #arg do
  local name, value = arg[i]:match("^(%w+)=(.*)$")
  given[name] = value
end

--- A client of the service, which does not wait for long.
local function connect(extra)
  local options = { api_key = given.key, base_url = given.url, connect_timeout = 1, timeout = 1,
    create_timeout = 1, stall_timeout = 1, wait_timeout = 2, max_retries = 1,
    poll = { first = 0.02, max = 0.02, jitter = 0 } }
  for name, value in pairs(extra or {}) do options[name] = value or nil end
  return lipsync.new(options)
end

--- How many descriptors are open; nil when the folder that tells cannot be read.
local function descriptors()
  local folder = uv.fs_scandir("/proc/self/fd")
  local count = 0
  while folder and uv.fs_scandir_next(folder) do count = count + 1 end
  return folder and count
end

--- What of a value can be written down: of an error or a job, its plain fields.
local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, inner in pairs(value) do
    local kind = type(inner)
    if name == "job" then inner = { id = inner.id } end
    if kind == "string" or kind == "number" or kind == "boolean" or name == "job" then
      copy[name] = inner
    end
  end
  return copy
end

collectgarbage()
local before = descriptors()
uv.fs_readlink("/mark/begin")
local ok, value, err = pcall(scenario.run, lipsync, given, connect, uv)
collectgarbage()
collectgarbage()
pcall(function() core.engine():close() end)
uv.fs_readlink("/mark/end")

local after = descriptors()
local report = json.encode {
  value = ok and plain(value) or nil,
  error = ok and plain(err) or nil,
  text = err and tostring(err) or nil,
  raised = not ok and tostring(value) or nil,
  host = uv.backend_fd(),
  left = before and after and after - before or nil,
}
uv.fs_write(1, { report, "\n" }, -1)
