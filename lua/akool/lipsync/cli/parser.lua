-- parser: argparse, told of all commands.

local commands = require "akool.lipsync.cli.commands"
local compat = require "akool.lipsync.compat"
local exit = require "akool.lipsync.cli.exit"

local parser = {}
local unpack = compat.unpack

local WIDTH = 80

--- The end of every help: the statuses, and where the rest is.
local function epilog()
  local lines = { "Exit status:" }
  for i, row in ipairs(exit.list) do
    lines[i + 1] = ("   %-3d %s"):format(row.code, row.meaning)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "What a command takes: akool-lipsync COMMAND --help."
  return table.concat(lines, "\n")
end

--- Copies what argparse knows of a declaration.
local function properties(declared, names)
  local given = {}
  for _, name in ipairs(names) do given[name] = declared[name] end
  return given
end

local function add_option(to, declared)
  if declared.flag then
    return to:flag(properties(declared, { "name", "description", "target" }))
  end
  local given = properties(declared, { "name", "description", "target", "argname", "choices" })
  given.args = 1
  return to:option(given)
end

local function add_argument(to, declared)
  return to:argument(properties(declared, { "name", "description", "argname", "args", "choices" }))
end

local function add_command(to, declared)
  local made = to:command(declared.name):description(declared.description)
  if declared.detail then made:epilog(declared.detail) end
  if declared.raw then made:handle_options(false) end
  for _, each in ipairs(declared.arguments or {}) do add_argument(made, each) end
  for _, each in ipairs(declared.options or {}) do add_option(made, each) end
  if declared.commands then
    made:require_command(true)
    for _, each in ipairs(declared.commands) do add_command(made, each) end
  else
    made:action(function(args) args[parser] = declared end)
  end
end

--- The parser. What it finds has the command's declaration under the key `parser`.
---@param version fun()  # what `--version` does
---@param fail fun(usage: string, message: string)  # does not return
---@return table
function parser.new(version, fail)
  local argparse = require "argparse"
  local made = argparse("akool-lipsync"):description(commands.description):epilog(epilog())
    :usage "Usage: akool-lipsync [OPTION]... COMMAND ...":require_command(true)
      :usage_max_width(WIDTH):help_max_width(WIDTH):help_description_margin(30)
  made:flag("--version"):description "Print the version, and end.":action(version)
  for _, group in ipairs(commands.groups) do
    local options, modes = {}, {}
    for i, declared in ipairs(group.options) do
      options[i] = add_option(made, declared)
      if declared.mode then modes[#modes + 1] = options[i] end
    end
    if #modes > 1 then made:mutex(unpack(modes)) end
    made:group(group.name .. " options", unpack(options))
  end
  for _, declared in ipairs(commands.list) do add_command(made, declared) end
  made.error = function(at, message) fail(at:get_usage(), message) end
  return made
end

return parser
