-- tracer: runs a scenario under strace, which counts its system calls or fails one of them. All
-- functions yield until the program has ended, so they are called in coroutines of luv's loop.

local uv = require "luv"

local tracer = {}

local LIMIT = 30 -- seconds; every deadline of a scenario is far below

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

--- Run a command in a process group of its own, so that nothing of it can outlive us.
---@param command string[]
---@return { code: integer, signal: integer, output: string, hung: boolean }
function tracer.run(command)
  local co = coroutine.running()
  local result, out, limit = { output = "", hung = false }, uv.new_pipe(false), uv.new_timer()
  local waits = 2 -- for the end of the process and for the end of what it says
  local function ended()
    waits = waits - 1
    if waits > 0 then return end
    limit:close()
    out:close()
    assert(coroutine.resume(co, result))
  end
  local process, pid
  process, pid = uv.spawn(command[1], {
    args = { table.unpack(command, 2) }, stdio = { nil, out, 2 }, detached = true,
  }, function(code, signal)
    result.code, result.signal = code, signal
    process:close()
    ended()
  end)
  if not process then error(("cannot run %s: %s"):format(command[1], pid)) end
  out:read_start(function(_, bytes)
    if bytes then result.output = result.output .. bytes else ended() end
  end)
  limit:start(LIMIT * 1000, 0, function()
    result.hung = true
    uv.kill(-pid, "sigkill")
  end)
  return coroutine.yield()
end

--- The command that runs a scenario with these arguments.
---@param scenario string
---@param arguments table<string, any>
---@return string[]
function tracer.program(scenario, arguments)
  local command = { "lua5.4", here .. "/program.lua", scenario }
  for name, value in pairs(arguments) do
    command[#command + 1] = ("%s=%s"):format(name, value)
  end
  return command
end

local function traced(options, command)
  local whole = { "strace", "-f", "-qq", "-s", "0" }
  for _, list in ipairs { options, command } do
    for _, word in ipairs(list) do whole[#whole + 1] = word end
  end
  return whole
end

--- What strace wrote. The file goes: when strace refuses to run, no earlier one takes its place.
local function take(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  os.remove(path)
  return text
end

--- Run it with nothing failing, and count its calls.
---@param command string[]
---@param log string  # a path to write to
---@return table result
---@return table<string, integer> before  # call → how often it was made before the first mark
---@return table<string, table[]> inside  # call → its first argument, for each made between them
function tracer.count(command, log)
  local result = tracer.run(traced({ "-o", log, "-e", "trace=all" }, command))
  local before, inside, place, main = {}, {}, "before", nil
  for line in take(log):gmatch("[^\n]+") do
    local pid, call, first = line:match("^(%d+)%s+([%w_]+)%(([^,%)]*)")
    main = main or pid
    if pid and pid ~= main then
      inside[call] = inside[call] or {} -- a thread's: to be known, but it counts for itself
    elseif call == "readlink" and line:find("/mark/", 1, true) then
      place = line:find("/mark/begin", 1, true) and "inside" or "after"
    elseif call and place == "before" then
      before[call] = (before[call] or 0) + 1
    elseif call and place == "inside" then
      inside[call] = inside[call] or {}
      table.insert(inside[call], first)
    end
  end
  return result, before, inside
end

--- Run it with one call failing from a moment on.
---@param command string[]
---@param log string
---@param fault { call: string, when: string, what: string }  # "3", "3+"; "error=EIO", "signal=KILL"
---@return table result
---@return string? struck  # the call that was hit; nil: none was, or one before the first mark
function tracer.fail(command, log, fault)
  local kills = fault.what:find("^signal") ~= nil
  local options = { "-o", log, "-e", ("trace=%s,readlink"):format(fault.call), "-e",
    ("inject=%s:%s:when=%s"):format(fault.call, fault.what, fault.when) }
  -- Quicker, because the other calls then run without a stop; but strace 6.1 sends no signal then.
  if not kills then table.insert(options, 1, "--seccomp-bpf") end
  local result = tracer.run(traced(options, command))
  local text = take(log)
  local begin = text:find("/mark/begin", 1, true)
  if not begin then return result, nil end
  if kills then
    return result, result.signal == 9 and not result.hung and text:match("([^\n]*)\n*$") or nil
  end
  local at = text:find("(INJECTED)", 1, true)
  return result, at and at > begin and text:match("[^\n]*%(INJECTED%)") or nil
end

return tracer
