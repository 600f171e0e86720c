-- cli: the program `akool-lipsync`. Reads its arguments, has a room in `cli/` do the work, and ends with
-- one of the statuses in `cli/exit.lua`.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local commands = require "akool.lipsync.cli.parser"
local context = require "akool.lipsync.cli.context"
local exit = require "akool.lipsync.cli.exit"
local output = require "akool.lipsync.cli.output"
local problem = require "akool.lipsync.cli.problem"

local cli = {}

--- How the result is wanted, as far as that can be told of arguments that make no sense.
local function mode_of(argv)
  for _, word in ipairs(argv) do
    if word == "--" then break end
    if word == "--json" then return "json" elseif word == "--events" then return "events" end
  end
  return "plain"
end

local function show_version()
  io.stdout:write("akool-lipsync ", core._VERSION, "\n")
  os.exit(exit.DONE)
end

--- What stands behind an error that nobody expected: Lua's own handler of Ctrl-C raises one.
local function unexpected(out, why)
  if tostring(why):find("interrupted!", 1, true) then
    out:failure(problem.interrupted "Ctrl-C")
    return exit.INTERRUPTED
  end
  out:failure(problem.file("This should not happen, and is a defect: %s", tostring(why)))
  return exit.LOCAL
end

--- Do what the arguments say.
local function obey(argv, out)
  local refused
  if not pcall(require, "argparse") then
    out:failure(problem.file "This needs argparse (Debian: lua-argparse; LuaRocks: argparse).")
    return exit.LOCAL
  end
  local parser = commands.new(show_version, function(usage, message)
    refused = { usage = usage, message = message }
    error(refused, 0)
  end)
  local fine, args = pcall(parser.parse, parser, argv)
  if not fine then
    if not refused then error(args, 0) end
    out:failure(problem.usage("%s", refused.message), refused.usage)
    return exit.USAGE
  end
  out.quiet = args.quiet or false
  local declared = args[commands]
  local room = require("akool.lipsync.cli." .. declared.room)
  return room[declared.verb or declared.name](context.new(args, out, parser))
end

--- The program.
---@param argv string[]
---@return integer status for the shell
function cli.main(argv)
  local out = output.new(mode_of(argv))
  local fine, status = pcall(obey, argv, out)
  if out.display then out.display:clear() end
  if not fine then status = unexpected(out, status) end
  if out.broken then
    io.stderr:write("akool-lipsync: standard output: ", out.broken, "\n")
    return exit.graver(status, exit.LOCAL)
  end
  return status
end

return cli
