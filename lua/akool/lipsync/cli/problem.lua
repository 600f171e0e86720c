-- problem: errors that only a command line has, in the form of all others.

local problem = {}

local Problem = { __name = "akool.lipsync.error" }
Problem.__index = Problem

function Problem:__tostring()
  return self.message
end

--- What was asked for makes no sense.
---@param message string  # one sentence or more
---@param ... any         # for its format
---@return akool.lipsync.Error
function problem.usage(message, ...)
  return setmetatable({ kind = "usage", name = "usage", retryable = false, maybe_created = false,
    message = select("#", ...) > 0 and message:format(...) or message }, Problem)
end

--- A file of this machine cannot be used.
---@param message string
---@param ... any
---@return akool.lipsync.Error
function problem.file(message, ...)
  local err = problem.usage(message, ...)
  err.kind, err.name = "io", "file_unusable"
  return err
end

--- luv is not installed; nil when it is.
---@param what string  # needs it
---@return akool.lipsync.Error?
function problem.without_luv(what)
  if pcall(require, "akool.lipsync.uv") then return nil end
  return problem.file("%s needs luv (Debian: lua-luv; LuaRocks: luv).", what)
end

--- A signal came before there was anything to tell.
---@param signal string
---@return akool.lipsync.Error
function problem.interrupted(signal)
  local err = problem.usage("Interrupted by %s.", signal)
  err.kind, err.name = "cancelled", "interrupted"
  return err
end

return problem
