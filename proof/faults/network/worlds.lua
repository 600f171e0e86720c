--- Scenarios in a world of their own: a network without a name server, a wall clock that jumps.
--- Each world is a process under a program that makes it; where that program may not, nothing is
--- proved.

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local worlds = {}

local LONGEST = 90 -- s, for a world in which something hangs
local AT_ONCE = 10  -- s, for the end of a program

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

--- Runs a command; returns what it printed, line by line with the time of each, and its exit code.
local function run_command(s, program, args, environment)
  local output, lines, rest, code = uv.new_pipe(), {}, "", nil
  local process, why = uv.spawn(program, { args = args, env = environment,
    stdio = { nil, output, 2 } }, function(status, signal)
      code = signal ~= 0 and -signal or status
    end)
  if not process then return {}, why end
  output:read_start(function(_, bytes)
    rest = rest .. (bytes or "")
    rest = rest:gsub("([^\n]*)\n", function(line)
      lines[#lines + 1] = { text = line, at = core.now() }
      return ""
    end)
  end)
  local began = core.now()
  while not code and core.now() - began < LONGEST do
    lipsync.sleep(0.01)
    s:progress() -- we look after its end ourselves
  end
  if not code then process:kill("sigkill") end
  output:close()
  process:close()
  return lines, code or "it hangs"
end

local function environment_with(given)
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not given[name] then list[#list + 1] = name .. "=" .. value end
  end
  for name, value in pairs(given) do list[#list + 1] = name .. "=" .. value end
  return list
end

-- Each says how to run a Lua program in it, or why that cannot be.
local MAKERS = {}

function MAKERS.dns(s)
  local flags = uv.getuid() == 0 and "-mn" or "-rmn"
  local resolv = s.folder .. "/resolv.conf"
  write(resolv, "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n")
  local setup = ("ip link set lo up && mount --bind '%s' /etc/resolv.conf"):format(resolv)
  local _, code = run_command(s, "unshare", { flags, "sh", "-c", setup })
  if code ~= 0 then return nil, "no namespaces of our own here (unshare " .. flags .. ")" end
  return { program = "unshare", environment = {}, args = { flags, "sh", "-c",
    setup .. ' && exec "$@"', "sh", uv.exepath(), "proof/faults/network/inside.lua", "dns" } }
end

local function clock(s, jump)
  local library, offset = "build/proof/faults/wall_clock.so", s.folder .. "/clock"
  if not uv.fs_stat(library) then return nil, library .. " is not there: ./dev faults builds it" end
  write(offset, "0")
  return { program = uv.exepath(), args = { "proof/faults/network/inside.lua", "clock", offset,
    jump }, environment = { LD_PRELOAD = assert(uv.fs_realpath(library)), WALL_CLOCK = offset } }
end

function MAKERS.forward(s) return clock(s, "3600") end
function MAKERS.back(s) return clock(s, "-3600") end

local function run(s, world, title, report)
  local made, why = MAKERS[world](s)
  if not made then return report:not_run(title, why) end
  local lines, code = run_command(s, made.program, made.args, environment_with(made.environment))
  local number, ended = 0, nil
  for i, line in ipairs(lines) do
    local name, verdict = line.text:match("^(.-)\t(.*)$")
    if name == "end" then
      ended = line.at
    else
      number = i
      report:count(title, i, verdict == "ok" and "as it should" or "otherwise",
        verdict ~= "ok" and ("%s: %s"):format(name or "?", verdict or line.text) or nil)
    end
  end
  local late = ended and core.now() - ended > AT_ONCE
  report:count(title, number + 1, "its end", (code ~= 0 or not ended)
    and ("the program ended with %s"):format(code) or late and "its end had to wait" or nil)
  report:row(title, "all")
  s:progress()
end

--- The rows of this group.
---@return { name: string, run: fun(s: proof.scene, report: proof.report, index?: integer) }[]
function worlds.rows()
  local list = {}
  for _, each in ipairs { { "dns", "world with a dead name server" },
    { "forward", "world whose clock jumps on by 1 h" },
    { "back", "world whose clock jumps back by 1 h" } } do
    list[#list + 1] = { name = each[2], run = function(s, report)
      run(s, each[1], each[2], report)
    end }
  end
  return list
end

return worlds
