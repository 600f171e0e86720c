--- A server that says nothing, whatever it is told: the kernel takes connections for it, up to its
--- backlog, and nobody accepts them.

local uv = require "luv"

local silent = {}

---@class spec.silent
---@field port integer
local server = {}
server.__index = server

--- Fills a place in the backlog. When it is full, the kernel drops who comes next.
function server:connect()
  local socket = uv.new_tcp()
  self.handles[#self.handles + 1] = socket
  socket:connect("127.0.0.1", self.port, function() end)
end

function server:close()
  for _, handle in ipairs(self.handles) do handle:close() end
  uv.run "nowait"
end

---@param backlog integer
---@return spec.silent
function silent.listen(backlog)
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  assert(socket:listen(backlog, function() end))
  return setmetatable({ port = socket:getsockname().port, handles = { socket } }, server)
end

silent.listen(1):close() -- libuv keeps a descriptor from its first listener on; let that be now

return silent
