-- context: what every command is given: its arguments, where to say things, and a client when it needs
-- one.

local keys = require "akool.lipsync.cli.keys"
local lipsync = require "akool.lipsync"
local problem = require "akool.lipsync.cli.problem"
local settings = require "akool.lipsync.cli.settings"

---@class akool.lipsync.cli.Context
---@field args table
---@field out akool.lipsync.cli.Output
---@field parser table  # argparse's
local Context = {}
Context.__index = Context

local context = {}

---@param args table
---@param out akool.lipsync.cli.Output
---@param parser table
---@return akool.lipsync.cli.Context
function context.new(args, out, parser)
  return setmetatable({ args = args, out = out, parser = parser }, Context)
end

--- Where a key can be, for whoever has none.
local function how_to_give_one(err)
  if err.name ~= "no_credentials" then return err end
  local usual = keys.usual_file()
  local first = err.message:match "^(.-%.)%s" or err.message
  err.message = ("%s Set AKOOL_API_KEY, write the key into %s (chmod 600), or say --key-file FILE.")
    :format(first, usual or "a file")
  return err
end

--- The client that the options ask for.
---@param more table?  # further options of it
---@return akool.lipsync.Client?
---@return akool.lipsync.Error?
function Context:client(more)
  local given, err = settings.read(self.args)
  if not given then return nil, err end
  local found
  found, err = keys.find(self.args.key_file)
  if not found then return nil, err end
  for _, each in ipairs { found, more or {} } do
    for name, value in pairs(each) do given[name] = value end
  end
  local client
  client, err = lipsync.new(given)
  if not client then return nil, how_to_give_one(err) end
  return client
end

--- The text of a file, or of standard input.
---@param name string  # "-" for standard input
---@return string?
---@return akool.lipsync.Error?
function Context:read(name)
  if name == "-" and self.args.key_file == "-" then
    return nil, problem.usage("Standard input cannot be both the key and this.")
  end
  local file, why = io.stdin, nil
  if name ~= "-" then file, why = io.open(name, "rb") end
  if not file then return nil, problem.file("%s.", why) end
  local content
  content, why = file:read "*a"
  if name ~= "-" then file:close() end
  if not content then return nil, problem.file("%s: %s.", name, why or "it cannot be read") end
  return content
end

return context
