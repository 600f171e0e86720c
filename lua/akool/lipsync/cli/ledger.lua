-- ledger: the one that a command names, opened. A password in its address stays out of what is printed,
-- and can stay out of the command line.

local dsn = require "akool.lipsync.ledger.dsn"
local problem = require "akool.lipsync.cli.problem"
local text = require "akool.lipsync.cli.text"

local ledger = {}

--- What a command was given, without a password that may be in it, as a word for a shell.
---@param given string
---@return string
function ledger.shown(given)
  return text.quote((given:gsub("^(%w+://[^/@]-):[^/]*@", "%1:...@")))
end

--- The address: "-" stands for what AKOOL_LEDGER holds.
local function address_of(ctx)
  local given = ctx.args.ledger
  if given ~= "-" then
    if given:find "^%w+://[^/@]-:[^/]*@" then
      ctx.out:note("A password on a command line can be seen by others on this machine: put the "
        .. "ledger's address into AKOOL_LEDGER, and write '-' in its place.")
    end
    return given
  end
  local named = os.getenv "AKOOL_LEDGER"
  if named and named ~= "" then return named end
  return nil, problem.usage "The ledger '-' is the one that AKOOL_LEDGER names, which is not set."
end

--- A file that should be there: a name that is misspelt is no empty ledger.
local function is_missing(address)
  local place = dsn.read(address)
  if not place or place.dialect ~= "sqlite" or place.target == ":memory:" then return false end
  local file = io.open(place.target, "rb")
  if file then file:close() end
  return file == nil
end

--- Open it.
---@param ctx akool.lipsync.cli.Context
---@param opts akool.lipsync.BatchOptions?
---@param make boolean?  # it may not be there yet
---@return akool.lipsync.Batch?
---@return akool.lipsync.Error?
function ledger.open(ctx, opts, make)
  local address, err = address_of(ctx)
  if not address then return nil, err end
  if not make and is_missing(address) then
    return nil, problem.file("There is no ledger %s. 'akool-lipsync batch add' makes one.", address)
  end
  local found, batch = pcall(require, "akool.lipsync.batch")
  if not found then return nil, problem.file("%s", tostring(batch)) end
  return batch.open(address, opts)
end

return ledger
