-- shell: runs commands of the shell for specs that use programs.

local shell = {}

--- Runs a command, a format for its arguments; returns what it said, on either output, and its status.
---@param command string
---@return string said
---@return integer status
function shell.run(command, ...)
  if select("#", ...) > 0 then command = command:format(...) end
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"status $?\""))
  local said = pipe:read("*a")
  pipe:close()
  local text, status = said:match("^(.-)status (%d+)\n$")
  return text, tonumber(status)
end

--- Does a command succeed? (What os.execute says of that depends on the Lua.)
---@param command string
---@return boolean
function shell.succeeds(command, ...)
  local _, status = shell.run(command, ...)
  return status == 0
end

--- Runs a command that must succeed; returns what it said.
---@param command string
---@return string said
function shell.must_run(command, ...)
  local said, status = shell.run(command, ...)
  if status ~= 0 then error(("%s failed with %d:\n%s"):format(command, status, said), 2) end
  return said
end

return shell
