-- await: what every call has in common. Its settings, the credentials that functions give, and its op,
-- whose news go to the caller's callbacks, in the caller's task.

local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"

local await = {}

local function log(event)
  local line = { ("akool.lipsync %.3f %s %s"):format(event.at, event.op, event.type) }
  for _, name in ipairs { "request", "job", "status", "http_status", "code", "error", "attempt",
    "seconds", "wait" } do
    local value = event[name]
    if value ~= nil then
      line[#line + 1] = (type(value) == "number" and "%s=%.6g" or "%s=%s"):format(name, value)
    end
  end
  io.stderr:write(table.concat(line, " "), "\n")
end

--- Call a callback. If it raises, its error goes to the caller, and the op it is about ends.
---@param op userdata
---@param callback function
---@param ... any  # its arguments
function await.tell(op, callback, ...)
  local ok, why = pcall(callback, ...)
  if not ok then
    op:cancel()
    error(why, 0)
  end
end

--- Pass an op's news to the callbacks until it has a last word, or one of `wanted`.
---@param client akool.lipsync.Client
---@param op userdata
---@param opts akool.lipsync.Options?  # of the call
---@param wanted string?
---@return string kind, any value
function await.news(client, op, opts, wanted)
  local on_event = opts and opts.on_event or client.merged.on_event
  local on_progress = opts and opts.on_progress or client.merged.on_progress
  while true do
    local kind, value, extra = loop.next(op)
    if kind == "event" then
      if options.logging then log(value) end
      if on_event then await.tell(op, on_event, value) end
    elseif kind == "progress" then
      if on_progress then await.tell(op, on_progress, value, extra) end
    elseif kind == "failed" then
      if value.job then setmetatable(value.job, client.jobs) end
      return kind, value
    elseif kind == "done" or kind == wanted then
      return kind, value
    end
  end
end

--- Await an op that has one result.
---@param client akool.lipsync.Client
---@param op userdata
---@param opts akool.lipsync.Options?
---@return any result
---@return akool.lipsync.Error?
function await.result(client, op, opts)
  local kind, value = await.news(client, op, opts)
  if kind == "failed" then return nil, value end
  return value
end

--- The settings for one call.
---@param client akool.lipsync.Client
---@param opts akool.lipsync.Options?
---@return userdata
function await.settings(client, opts)
  if opts == nil or next(opts) == nil then return client.settings end
  return options.settings(options.merge(client.merged, opts))
end

--- Start and await with `run`; when credentials come from functions, ask for them first, and once
--- more when the service refuses them (a refused request did nothing, so it may be repeated).
---@param client akool.lipsync.Client
---@param run fun(): any, akool.lipsync.Error?
---@return any
---@return akool.lipsync.Error?
function await.with_credentials(client, run)
  if not client.renew then return run() end
  local ok, err = client.renew()
  if not ok then return nil, err end
  local value
  value, err = run()
  if value == nil and err.code == 1101 then
    ok = client.renew()
    if ok then value, err = run() end
  end
  return value, err
end

return await
