--- peer: whoever calls a server in this process, byte by byte if need be. Nothing goes on unless luv's
--- loop is turned, which `peer.turn_until` sees to.
---
---   local one = peer.say(port, peer.post("/hook", body))
---   peer.turn_until(function() return one.over end)
---   assert.equal(200, one.status)

local lipsync = require "akool.lipsync"
local uv = require "luv"

local peer = {}

local PATIENCE = 20 -- seconds, for a machine that is busy

---@class spec.peer
---@field said string    # what came back
---@field over boolean   # the connection has ended
---@field status integer? # of the last answer
local Peer = {}
Peer.__index = Peer

local function take(self, err, bytes)
  if bytes then
    self.said = self.said .. bytes
    self.status = tonumber(self.said:match "^.*HTTP/1%.1 (%d+)")
  else
    self.err = err
    self:leave()
  end
end

--- Say more.
---@param bytes string
function Peer:say(bytes)
  self.socket:write(bytes)
end

--- Say that no more will come.
function Peer:finish()
  self.socket:shutdown()
end

--- Close; with RST if so wanted.
---@param with_reset? boolean
function Peer:leave(with_reset)
  if self.over then return end
  self.over = true
  if with_reset then self.socket:close_reset() else self.socket:close() end
end

--- Connect, and say something.
---@param port integer
---@param bytes? string
---@param host? string
---@return spec.peer
function peer.say(port, bytes, host)
  local self = setmetatable({ socket = uv.new_tcp(), said = "", over = false }, Peer)
  self.socket:connect(host or "127.0.0.1", port, function(err)
    if self.over then return end
    if err then return take(self, err) end
    self.connected = true
    self.socket:read_start(function(...) take(self, ...) end)
    if bytes then self:say(bytes) end
  end)
  return self
end

--- Turn the loop until a condition holds; raise if it never does.
---@param condition fun(): any
function peer.turn_until(condition)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  while not condition() do
    assert(uv.hrtime() < deadline, "what was waited for did not come")
    if lipsync.step(0.001) == 0 then uv.run "nowait" end -- a receiver's task turns it otherwise
  end
end

--- Let this much time pass.
---@param seconds number
function peer.turn_for(seconds)
  local deadline = uv.hrtime() + seconds * 1e9
  peer.turn_until(function() return uv.hrtime() > deadline end)
end

--- A POST as bytes.
---@param path string
---@param body string
---@param headers? string  # whole lines
---@return string
function peer.post(path, body, headers)
  return ("POST %s HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n%s\r\n%s"):format(path, #body,
    headers or "", body)
end

--- Say something, and wait until the connection has ended.
---@return spec.peer
function peer.ask(port, bytes, host)
  local one = peer.say(port, bytes, host)
  peer.turn_until(function() return one.over end)
  return one
end

return peer
