-- recent: a bounded memory of what was set last. Two generations: when the young one is full, the old
-- one is forgotten.

---@class akool.lipsync.webhook.Recent
local Recent = {}
Recent.__index = Recent

--- What a key was set to; nil when it is forgotten or never was.
---@param key string
---@return any
function Recent:get(key)
  local value = self.young[key]
  if value == nil then value = self.old[key] end
  return value
end

--- Remember a value.
---@param key string
---@param value any
function Recent:set(key, value)
  if self.young[key] == nil then
    if self.count >= self.half then
      self.old, self.young, self.count = self.young, {}, 0
    end
    self.count = self.count + 1
  end
  self.young[key] = value
end

local recent = {}

---@param capacity integer  # of keys; at least half of these are known
---@return akool.lipsync.webhook.Recent
function recent.new(capacity)
  return setmetatable({ young = {}, old = {}, count = 0, half = math.ceil(capacity / 2) }, Recent)
end

return recent
