-- items: what a program gives to be added, checked and completed. Names and types that are wrong are
-- misuse and raise; what may be data, such as an empty key, is returned as an error.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local options = require "akool.lipsync.options"

local error = compat.error
local items = {}

local NAMES = { "key", "video_url", "audio_url", "webhook_url", "output", "force" }
local LONGEST_KEY = 255 -- bytes

local types = {}
for _, name in ipairs(NAMES) do types[name] = name == "force" and "boolean" or "string" end

local function check_types(item, level)
  if type(item) ~= "table" then
    error(("add: a table { key =, video_url =, audio_url = } expected, got %s"):format(type(item)),
      level + 1)
  end
  for name, value in pairs(item) do
    if not types[name] then options.unknown("field", name, NAMES, level + 1) end
    if type(value) ~= types[name] then
      error(("add: %s should be a %s, not a %s"):format(name, types[name], type(value)), level + 1)
    end
  end
end

--- A file name made of a text: nothing in it leads to another folder, and every system takes it.
---@param text string
---@return string
function items.file_name(text)
  local name = text:gsub("[%c/\\:*?\"<>|]", "_"):gsub("^[.%s]+", "_"):gsub("[.%s]+$", "_")
  return name
end

local function refuse(i, cause, what)
  return nil, core.error(cause, what, { item = i })
end

--- Why a text cannot be kept as it is; nil when it can.
local function unfit(text)
  if text == "" then return "is empty" end
  if text:find "%c" then return "has a control character in it" end
end

local function complete(item, i)
  for _, name in ipairs { "key", "video_url", "audio_url" } do
    if not item[name] then
      return refuse(i, "bad_item", ("Item %d (%s) has no %s."):format(i, item.key or "?", name))
    end
  end
  for name, kind in pairs(types) do
    local why = kind == "string" and item[name] and unfit(item[name])
    if why then return refuse(i, "bad_item", ("The %s of item %d %s."):format(name, i, why)) end
  end
  if #item.key > LONGEST_KEY then
    return refuse(i, "bad_item", ("The key of item %d is longer than %d bytes."):format(i,
      LONGEST_KEY))
  end
  for _, name in ipairs { "video_url", "audio_url", "webhook_url" } do
    local why = item[name] and core.bad_url(item[name])
    if why then
      return refuse(i, "bad_url", ("The %s of row %q %s."):format(name, item.key, why))
    end
  end
  return { key = item.key, video_url = item.video_url, audio_url = item.audio_url,
    webhook_url = item.webhook_url, output = item.output or items.file_name(item.key) .. ".mp4",
    force = item.force }
end

--- One item or a list of them, as rows for a ledger.
---@param given table
---@param level integer  # as for error(), seen from the function that calls this one
---@return akool.lipsync.Item[]?
---@return akool.lipsync.Error?  # its `item` is the index of the one that is wrong
function items.read(given, level)
  if type(given) ~= "table" then
    error("add: a table { key =, video_url =, audio_url = }, or a list of these, expected, got "
      .. type(given), level + 1)
  end
  local list = #given > 0 and given or next(given) ~= nil and { given } or {}
  for _, item in ipairs(list) do check_types(item, level + 1) end
  local complete_list = {}
  for i, item in ipairs(list) do
    local whole, err = complete(item, i)
    if not whole then return nil, err end
    complete_list[i] = whole
  end
  return complete_list
end

return items
