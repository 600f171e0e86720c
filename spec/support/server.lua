--- server: runs a server that Lua runs in, and asks it for things. It is started as `support.host`
--- starts programs; PORT in its script and other files becomes its port.
---
---   local run = server.start(t, { program = "nginx …", lua = "jit", code = …, pid = "nginx.pid" })
---   assert.equal("hello", run:get "/hello")
---   run:stop()

local fixture = require "support.fixture"
local host = require "support.host"
local sockets = require "support.sockets"
local uv = require "luv"

local server = {}

---@class spec.server: spec.host.run
---@field port integer
---@field private pid_file string
---@field private signal string
local run = setmetatable({}, { __index = host.run })
run.__index = run

---@class spec.server.options: spec.host.options
---@field pid string      # the file in its folder that holds its process id
---@field signal? string  # that ends it, by default "sigterm"

local function pid_of(self)
  local found, text = pcall(fixture.read, self.pid_file)
  return found and tonumber(text:match "%d+") or nil
end

---@param t table  # of fixture.new
---@param options spec.server.options
---@return spec.server
function server.start(t, options)
  local port = sockets.free_port()
  options.code = options.code:gsub("PORT", port)
  for name, text in pairs(options.files or {}) do options.files[name] = text:gsub("PORT", port) end
  local self = setmetatable(host.start(t, options), run)
  self.port, self.pid_file = port, self.folder .. "/" .. options.pid
  self.signal = options.signal or "sigterm"
  if not sockets.turn_until(function() return pid_of(self) and sockets.accepts(port) end) then
    error("the server did not start: " .. self:stop())
  end
  return self
end

--- The bodies of these paths, asked for at once, in their order.
---@param paths string[]
---@return string[]
function run:get_all(paths)
  local answers, bodies = {}, {}
  for i, path in ipairs(paths) do answers[i] = sockets.get(self.port, path) end
  sockets.turn_until(function()
    for _, answer in ipairs(answers) do
      if not answer.done then return false end
    end
    return true
  end)
  for i, answer in ipairs(answers) do
    bodies[i] = answer.text:match "^HTTP/.-\r\n\r\n(.*)$" or answer.text
    if not answer.done then
      answer.leave()
      bodies[i] = "no end after: " .. answer.text
    end
  end
  uv.run "nowait"
  return bodies
end

---@param path string
---@return string body
function run:get(path)
  return self:get_all({ path })[1]
end

--- Tell it to end.
---@param signal string?  # another one than that of its options
function run:tell(signal)
  local pid = pid_of(self)
  if pid then uv.kill(pid, signal or self.signal) end
end

--- Tell it to end, and wait until it has. Returns what it said.
---@param signal string?
---@return string
function run:stop(signal)
  self:tell(signal)
  return self:ends_well()
end

return server
