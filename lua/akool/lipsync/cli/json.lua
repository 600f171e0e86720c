-- json: documents for other programs. lua-cjson writes the strings and numbers; what is added here is an
-- order of fields that is always the same, lists that stay lists when they are empty, and nothing that a
-- terminal acts on.

local cjson = require "cjson"
local text = require "akool.lipsync.cli.text"

local json = {}

local private = cjson.new()
private.encode_number_precision(14)

local List = {}

--- Mark a table as a list, which it should be even with nothing in it.
---@param items table
---@return table items
function json.list(items)
  return setmetatable(items, List)
end

-- What comes first; the other fields follow by name.
local ORDER = { "type", "id", "key", "state", "status", "code", "kind", "name", "message" }
local RANK = {}
for i, name in ipairs(ORDER) do RANK[name] = i end

local function before(a, b)
  local x, y = RANK[a] or #ORDER + 1, RANK[b] or #ORDER + 1
  if x ~= y then return x < y end
  return a < b
end

--- JSON must be UTF-8, whatever the service sent; the characters between 127 and 160, which some
--- terminals obey, are written in digits.
local function string_of(value)
  if value:find "[\128-\255]" then
    local out = {}
    for character, code in text.characters(value) do
      out[#out + 1] = code and character or "\239\191\189"
    end
    value = table.concat(out)
  end
  local written = private.encode(value):gsub("\\/", "/")
  return (written:gsub("\194([\128-\159])", function(c) return ("\\u%04x"):format(c:byte()) end))
end

local function number_of(value)
  if value ~= value or value == math.huge or value == -math.huge then return "null" end
  if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%.0f"):format(value) end
  return private.encode(value)
end

local function is_list(value)
  return getmetatable(value) == List or value[1] ~= nil
end

--- A value as JSON, in one line. Functions and userdata are left out.
---@param value any
---@return string
function json.encode(value)
  local kind = type(value)
  if kind == "string" then return string_of(value) end
  if kind == "number" then return number_of(value) end
  if kind ~= "table" then return kind == "boolean" and tostring(value) or "null" end
  local parts, names = {}, {}
  if is_list(value) then
    for i, item in ipairs(value) do parts[i] = json.encode(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for name, inner in pairs(value) do
    if type(name) == "string" and type(inner) ~= "function" and type(inner) ~= "userdata" then
      names[#names + 1] = name
    end
  end
  table.sort(names, before)
  for i, name in ipairs(names) do parts[i] = string_of(name) .. ":" .. json.encode(value[name]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- The value of a text, or nil and what is wrong with it. Null fields are absent; whole numbers are
--- integers.
---@param source string
---@return any value
---@return string? why
function json.decode(source)
  local fine, value = pcall(private.decode, source)
  if not fine then return nil, (tostring(value):gsub("^.-:%d+: ", "")) end
  local function tidy(inner)
    if inner == cjson.null then return nil end
    if type(inner) == "number" and inner % 1 == 0 and math.abs(inner) < 2 ^ 53 then
      return math.floor(inner)
    end
    if type(inner) ~= "table" then return inner end
    for name, item in pairs(inner) do inner[name] = tidy(item) end
    return inner
  end
  return tidy(value)
end

return json
