-- seen: which deliveries came before, of the last ones.

local core = require "akool.lipsync.core"
local recent = require "akool.lipsync.webhook.recent"

local Seen = {}
Seen.__index = Seen
Seen.__name = "akool.lipsync.seen"

--- Remember `key` for so many seconds, or longer. With 0 seconds it lasts until there is no room.
---@param key string
---@param seconds number
---@return boolean new  # false: it is known
function Seen:add(key, seconds)
  local now = core.now()
  local known = self.until_when:get(key)
  if known and now < known then return false end
  self.until_when:set(key, seconds > 0 and now + seconds or math.huge)
  return true
end

local seen = {}

---@param capacity integer  # of keys; at least half of these are known
---@return akool.lipsync.Seen
function seen.new(capacity)
  return setmetatable({ until_when = recent.new(capacity) }, Seen)
end

return seen
