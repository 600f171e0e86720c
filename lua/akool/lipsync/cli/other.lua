-- other: the commands that ask nobody: explain, mock, completion.

local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"
local problem = require "akool.lipsync.cli.problem"

local other = {}

--- The row of the table of errors for a code, or a name.
local function find(word)
  local row = tonumber(word) and core.explain(tonumber(word))
  if row then return row end
  for _, list in ipairs { core.codes(), core.causes() } do
    for _, each in ipairs(list) do
      if each.name == word then return each end
    end
  end
end

function other.explain(ctx)
  local word = ctx.args.code
  local row = find(word:match "([^/]+)$" or word)
  if not row then
    local err = problem.usage("%s is neither a code that is documented, such as 1204, nor the "
      .. "name of an error.", word)
    ctx.out:failure(err)
    return exit.USAGE
  end
  local advice = row.meaning and row.meaning .. " " .. row.advice or row.advice
  ctx.out:result({ code = row.code, name = row.name, kind = row.kind, retryable = row.retryable,
    message = advice }, ("%s/%s%s: %s"):format(row.kind, row.name,
    row.code and (" (code %d)"):format(row.code) or "", advice))
  return exit.DONE
end

function other.mock(ctx)
  local err = problem.without_luv "The mock service"
  if err then
    ctx.out:failure(err)
    return exit.LOCAL
  end
  return require("akool.lipsync.mock").main(ctx.args.arguments)
end

function other.completion(ctx)
  local parser = ctx.parser
  ctx.out:raw(parser["get_" .. ctx.args.shell .. "_complete"](parser))
  return exit.DONE
end

return other
