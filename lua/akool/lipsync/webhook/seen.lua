-- seen: a bounded memory of deliveries, so that a repeated one is known. Two generations: what was
-- added lately and what was before that; when the young one is full, the old one is forgotten.

local core = require "akool.lipsync.core"

local Seen = {}
Seen.__index = Seen
Seen.__name = "akool.lipsync.seen"

--- Remember `key` for so many seconds, or longer. With 0 seconds it lasts until there is no room.
---@param key string
---@param seconds number
---@return boolean new  # false: it is known
function Seen:add(key, seconds)
  local now = core.now()
  local known = self.young[key] or self.old[key]
  if known and now < known then return false end
  if self.count >= self.half then
    self.old, self.young, self.count = self.young, {}, 0
  end
  self.young[key], self.count = seconds > 0 and now + seconds or math.huge, self.count + 1
  return true
end

local seen = {}

---@param capacity integer  # of keys; at least half of these are known
---@return akool.lipsync.Seen
function seen.new(capacity)
  return setmetatable({ young = {}, old = {}, count = 0, half = math.ceil(capacity / 2) }, Seen)
end

return seen
