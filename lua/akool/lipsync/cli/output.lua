-- output: what the program says, and where. Standard output gets the result and nothing else: lines for
-- people, one JSON document, or JSON lines of which the last is the result. All else goes to standard
-- error.

local exit = require "akool.lipsync.cli.exit"
local json = require "akool.lipsync.cli.json"
local text = require "akool.lipsync.cli.text"

---@class akool.lipsync.cli.Output
---@field mode "plain"|"json"|"events"
---@field quiet boolean
---@field display akool.lipsync.cli.Display? # what is drawn on the terminal meanwhile
local Output = {}
Output.__index = Output

local output = {}

---@param mode "plain"|"json"|"events"
---@param quiet boolean?
---@return akool.lipsync.cli.Output
function output.new(mode, quiet)
  return setmetatable({ mode = mode, quiet = quiet or false }, Output)
end

--- Write to standard output, which may be full or closed.
local function write(self, line)
  local fine, why = io.stdout:write(line)
  if fine then fine, why = io.stdout:flush() end
  if not fine then self.broken = self.broken or tostring(why or "it cannot be written to") end
end

--- A line for people about how things go; not when they asked for quiet.
---@param line string
---@param ... any  # for its format
function Output:note(line, ...)
  if self.quiet then return end
  self:say(select("#", ...) > 0 and line:format(...) or line)
end

--- A line for people that they should not miss.
---@param line string
function Output:say(line)
  local clean = {}
  for each in (line .. "\n"):gmatch "(.-)\n" do clean[#clean + 1] = text.clean(each) end
  local lines = table.concat(clean, "\n") .. "\n"
  if self.display then return self.display:above(lines) end
  io.stderr:write(lines)
end

--- Something happened: a JSON line, where these were asked for.
---@param kind string
---@param fields table?
function Output:event(kind, fields)
  if self.mode ~= "events" then return end
  local document = { type = kind }
  for name, value in pairs(fields or {}) do document[name] = value end
  write(self, json.encode(document) .. "\n")
end

--- The result, once: a document, or lines for people.
---@param document table
---@param lines string|string[]  # without their ends
function Output:result(document, lines)
  if self.mode == "plain" then
    for _, line in ipairs(type(lines) == "table" and lines or { lines }) do
      write(self, text.clean(line) .. "\n")
    end
    return
  end
  if self.mode == "events" then document.type = "result" end
  write(self, json.encode(document) .. "\n")
end

--- The result as it is: a table in CSV, a script for a shell.
---@param bytes string
function Output:raw(bytes)
  write(self, bytes)
end

--- An error as a document has it.
---@param err akool.lipsync.Error
---@return table
function output.error(err)
  local job = err.job
  return { kind = err.kind, name = err.name, code = err.code, message = err.message,
    http_status = err.http_status, server_message = err.server_message, retryable = err.retryable,
    retry_after = err.retry_after, maybe_created = err.maybe_created, exit = exit.of(err),
    job = job and { id = job.id, status = job.status } or nil }
end

--- An error for people. What we stopped ourselves needs no more than that word.
---@param err akool.lipsync.Error
---@param about string?  # which of several
function Output:complain(err, about)
  local words = exit.of(err) == exit.INTERRUPTED and "Interrupted." or tostring(err)
  self:say("akool-lipsync: " .. (about and about .. ": " or "") .. words)
end

--- It went wrong: the document has the error, and what else is known.
---@param err akool.lipsync.Error
---@param advice string?    # the command that continues, or what else can be done
---@param document table?
function Output:failure(err, advice, document)
  if self.mode ~= "plain" then
    document = document or {}
    document.error = output.error(err)
    document.error.advice = advice
    self:result(document, {})
  end
  self:complain(err)
  if advice then self:say(advice) end
end

return output
