-- input: makes Lua values of bytes. Bytes are taken from the front; when they are used up, all that
-- comes is zeros.

local huge = math.huge

local RAISED = "raised by a callback: "

local Input = {}
Input.__index = Input

local NUMBERS = { 0, 1, -1, 0.5, 1e-9, 60, 100, 101, 10000, 1e9, 1e15, 2^31, 2^53 + 1, 2^63, 1e308,
  -5, huge, -huge, 0 / 0, 5e-324, math.maxinteger, math.mininteger, 1204, 1e18 }

---@param bytes string
local function new(bytes)
  return setmetatable({ bytes = bytes, at = 1 }, Input)
end

function Input:over()
  return self.at > #self.bytes
end

function Input:byte()
  local byte = self.bytes:byte(self.at)
  self.at = self.at + 1
  return byte or 0
end

--- One of a list.
function Input:pick(list)
  return list[self:byte() % #list + 1]
end

function Input:number()
  local which = self:byte()
  if which < #NUMBERS then return NUMBERS[which + 1] end
  if which < 128 then return self:byte() / 4 end
  local bits = {}
  for i = 1, 8 do bits[i] = string.char(self:byte()) end
  return (string.unpack(which % 2 == 0 and "<d" or "<j", table.concat(bits)))
end

function Input:string()
  local size = self:byte() % 64
  local text = self.bytes:sub(self.at, self.at + size - 1)
  self.at = self.at + size
  return text
end

local makers = {
  function() return nil end,
  function(self) return self:byte() % 2 == 0 end,
  function(self) return self:number() end,
  function(self) return self:string() end,
  function(self, depth)
    local made = {}
    for _ = 1, depth < 3 and self:byte() % 5 or 0 do
      local key = self:value(depth + 1)
      if key ~= nil and key == key then made[key] = self:value(depth + 1) end
    end
    return made
  end,
  function(self)
    local returned = self:byte() % 3 == 0 and self:number() or self:string()
    return function() return returned end
  end,
  function(self)
    local raised = RAISED .. self:string()
    return function() error(raised, 0) end
  end,
  function() return coroutine.create(function() end) end,
  function(self) return ("x"):rep(self:byte() * 64) end,
}

--- Any value.
function Input:value(depth)
  return self:pick(makers)(self, depth or 0)
end

return { new = new, RAISED = RAISED }
