-- run.lua PROGRAM ROUNDS: starts a service and leads the lives of threads.c against it.

local mock = require "akool.lipsync.mock"
local uv = require "luv"

local program, rounds = arg[1], arg[2]
local service = assert(mock.start { api_key = "a-key", files = "examples/media", queue = 0,
  process = 0, credits = 1e9 })
local folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/threads-XXXXXX"))

local args = { "proof/threads/life.lua", service.url, "a-key", folder, rounds }
local status
uv.spawn(program, { args = args, stdio = { nil, 1, 2 } }, function(code, signal)
  status = signal ~= 0 and 128 + signal or code
end)
while not status do uv.run "once" end

service:stop()
local empty = uv.fs_rmdir(folder)
if not empty then print("files were left behind in " .. folder) end
os.exit(empty and status or 1)
