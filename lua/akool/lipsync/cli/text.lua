-- text: strings that are fit for a terminal. What came from elsewhere has its control characters
-- replaced; widths are those of columns, not of bytes.

local text = {}

-- Columns -----------------------------------------------------------------------------------------

-- Ranges of characters that take no column, and of those that take two: the bulk of what Unicode's
-- tables list as combining, and as wide.
local NONE = { { 0x300, 0x36F }, { 0x483, 0x489 }, { 0x591, 0x5BD }, { 0x610, 0x61A },
  { 0x64B, 0x65F }, { 0x6D6, 0x6DC }, { 0x93C, 0x93C }, { 0x941, 0x948 }, { 0x94D, 0x94D },
  { 0xE31, 0xE31 }, { 0xE34, 0xE3A }, { 0xE47, 0xE4E }, { 0x1AB0, 0x1AFF }, { 0x1DC0, 0x1DFF },
  { 0x200B, 0x200D }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F },
  { 0xE0100, 0xE01EF } }
local TWO = { { 0x1100, 0x115F }, { 0x231A, 0x231B }, { 0x23E9, 0x23EC }, { 0x2614, 0x2615 },
  { 0x2E80, 0x303E }, { 0x3041, 0x33FF }, { 0x3400, 0x4DBF }, { 0x4E00, 0x9FFF },
  { 0xA000, 0xA4CF }, { 0xA960, 0xA97F }, { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF },
  { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x16FE0, 0x18AFF },
  { 0x1B000, 0x1B2FF }, { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F6FF }, { 0x1F7E0, 0x1F7EB },
  { 0x1F900, 0x1F9FF }, { 0x1FA70, 0x1FAFF }, { 0x20000, 0x3FFFD } }

local function within(ranges, code)
  for _, range in ipairs(ranges) do
    if code < range[1] then return false end
    if code <= range[2] then return true end
  end
  return false
end

local function columns_of(code)
  if code < 0x300 then return 1 end
  return within(NONE, code) and 0 or within(TWO, code) and 2 or 1
end

-- UTF-8 -------------------------------------------------------------------------------------------

local LEAST = { 0, 0x80, 0x800, 0x10000 } -- what a sequence of so many bytes begins at

--- The character at a byte: its code and length, or nil where there is none.
local function decode(bytes, at)
  local lead = bytes:byte(at)
  local length = lead < 0x80 and 1 or lead >= 0xC2 and lead < 0xE0 and 2
    or lead >= 0xE0 and lead < 0xF0 and 3 or lead >= 0xF0 and lead < 0xF5 and 4
  if not length then return nil end
  local code = length == 1 and lead or lead % 2 ^ (7 - length)
  for i = at + 1, at + length - 1 do
    local byte = bytes:byte(i)
    if not byte or byte < 0x80 or byte > 0xBF then return nil end
    code = code * 64 + byte % 64
  end
  local surrogate = code >= 0xD800 and code <= 0xDFFF
  if code < LEAST[length] or code > 0x10FFFF or surrogate then return nil end
  return code, length
end

--- Does a terminal act on it, or does it turn the text around it about?
local function commands(code)
  return code < 0x20 or code >= 0x7F and code <= 0x9F or code >= 0x200E and code <= 0x200F
    or code >= 0x2028 and code <= 0x202E or code >= 0x2066 and code <= 0x2069
end

--- The characters of a string, one after the other: their bytes and codes; of what is not UTF-8, each
--- byte and nil.
---@param bytes string
---@return fun(): string?, integer?
function text.characters(bytes)
  local at = 1
  return function()
    if at > #bytes then return nil end
    local code, length = decode(bytes, at)
    local start = at
    at = at + (length or 1)
    return bytes:sub(start, at - 1), code
  end
end

--- Text of whatever origin, fit to be printed in one line: UTF-8, and nothing that a terminal acts on.
---@param value any
---@return string
function text.clean(value)
  local bytes = tostring(value)
  if not bytes:find "[%c\128-\255]" then return bytes end
  local out = {}
  for character, code in text.characters(bytes) do
    local space = character == "\n" or character == "\t"
    out[#out + 1] = space and " " or (not code or commands(code)) and "?" or character
  end
  return table.concat(out)
end

--- How many columns a clean text takes.
---@param clean string
---@return integer
function text.width(clean)
  if not clean:find "[\128-\255]" then return #clean end
  local width = 0
  for _, code in text.characters(clean) do width = width + columns_of(code or 0) end
  return width
end

--- A clean text in so many columns: cut where it is longer, with spaces behind it where `pad`.
---@param clean string
---@param columns integer
---@param pad boolean?
---@return string
function text.fit(clean, columns, pad)
  local width = text.width(clean)
  if width > columns then
    local out, room = {}, columns - (columns >= 4 and 2 or 0)
    width = 0
    for character, code in text.characters(clean) do
      local wide = columns_of(code or 0)
      if width + wide > room then break end
      out[#out + 1], width = character, width + wide
    end
    clean = table.concat(out)
    if columns >= 4 then clean, width = clean .. "..", width + 2 end
  end
  return pad and clean .. (" "):rep(columns - width) or clean
end

--- A clean text in no more than so many columns, cut in its middle: ids and names of files differ at
--- their ends.
---@param clean string
---@param columns integer
---@return string
function text.squeeze(clean, columns)
  if text.width(clean) <= columns then return clean end
  local characters, widths, room = {}, {}, math.max(0, columns - 2)
  for character, code in text.characters(clean) do
    characters[#characters + 1], widths[#widths + 1] = character, columns_of(code or 0)
  end
  local head, tail, first, last = {}, "", 1, #characters
  local half = math.ceil(room / 2)
  while widths[first] <= half do
    head[first], half, room = characters[first], half - widths[first], room - widths[first]
    first = first + 1
  end
  while last > first and widths[last] <= room do
    tail, room, last = characters[last] .. tail, room - widths[last], last - 1
  end
  return table.concat(head) .. ".." .. tail
end

-- Quantities --------------------------------------------------------------------------------------

--- Seconds as a clock shows them: 0:07, 12:30, 1:02:03.
---@param seconds number
---@return string
function text.clock(seconds)
  local whole = math.floor(math.max(0, seconds) + 0.5)
  local h, m, s = math.floor(whole / 3600), math.floor(whole % 3600 / 60), whole % 60
  if h > 0 then return ("%d:%02d:%02d"):format(h, m, s) end
  return ("%d:%02d"):format(m, s)
end

local UNITS = { "B", "kB", "MB", "GB", "TB" }

--- Bytes in the unit that suits them: 512 B, 2.4 MB.
---@param bytes number
---@return string
function text.bytes(bytes)
  local unit = 1
  while bytes >= 999.5 and UNITS[unit + 1] do bytes, unit = bytes / 1000, unit + 1 end
  return ((unit == 1 or bytes >= 99.5) and "%.0f %s" or "%.1f %s"):format(bytes, UNITS[unit])
end

--- A word for a shell, in quotes if it needs them.
---@param word string
---@return string
function text.quote(word)
  if word:find "^[%w_./:=@%%+,-]+$" then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

return text
