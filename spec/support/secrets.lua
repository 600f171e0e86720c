--- secrets: the credentials that the specs plant, and the search for them in whatever was said: as
--- they are, turned around, in base64, in hexadecimal digits, encoded for a URL or for JSON, and any
--- twelve characters of each. `scripts/test.sh` runs it as a program over all that a run printed:
---
---   lua5.4 spec/support/secrets.lua FILE…

local secrets = {}

local PART = 12 -- characters that give a secret away

--- Random, so that nothing else looks like them; with characters that encodings change.
secrets.planted = {
  api_key = "qT7/nW3d+kEy9Zq8wVx2RbM4sGhJ6uYcAoF1iN5p",
  client_id = "Xe4/vU9c+Lr2QmB7yTzK5jDw",
  client_secret = "Hs8/gP3x+Ci6VfN1uEaR9oWkYd4ZtMb7",
}

--- How every token of the mock service begins: those are secrets too.
local TOKEN = "mock-token-"

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

--- The characters of base64 that depend on nothing but `text` when it begins `shift` bytes behind
--- a multiple of three.
local function base64(text, shift)
  local bits = {}
  for c in text:gmatch "." do
    for i = 7, 0, -1 do bits[#bits + 1] = math.floor(c:byte() / 2 ^ i) % 2 end
  end
  local out = {}
  for at = (6 - shift * 8 % 6) % 6 + 1, #bits - 5, 6 do
    local value = 0
    for i = at, at + 5 do value = value * 2 + bits[i] end
    out[#out + 1] = DIGITS:sub(value + 1, value + 1)
  end
  return table.concat(out)
end

local function each_byte(format)
  return function(text)
    return (text:gsub(".", function(c) return format:format(c:byte()) end))
  end
end

local function url(text) return (text:gsub("[^%w]", each_byte "%%%02X")) end

local FORMS = {
  { "as it is", function(text) return text end },
  { "turned around", string.reverse },
  { "in base64", function(text) return base64(text, 0) end },
  { "in base64, one byte on", function(text) return base64(text, 1) end },
  { "in base64, two bytes on", function(text) return base64(text, 2) end },
  { "in JSON", function(text) return (text:gsub("/", "\\/")) end },
  { "in a URL", url },
  { "in a URL, %xx", function(text) return (url(text):gsub("%%%x%x", string.lower)) end },
  { "in hexadecimal digits", each_byte "%02x" },
  { "in large hexadecimal digits", each_byte "%02X" },
  { "in percent signs", each_byte "%%%02X" },
}

--- What is looked for: text → what it is of.
local needles = { [TOKEN] = "a token" }

local function look_for(text, what)
  needles[text] = needles[text] or what
end

for name, secret in pairs(secrets.planted) do
  for _, form in ipairs(FORMS) do
    for at = 1, #secret - PART + 1 do
      local text = form[2](secret:sub(at, at + PART - 1))
      local what = ("%s, %s"):format(name, form[1])
      look_for(text, what)
      if what:find "base64" then look_for(text:gsub("+", "-"):gsub("/", "_"), what) end
    end
  end
end

--- Says which secret is in a text, and in which form; nil when none is.
---@param text string
---@return string?
function secrets.find(text)
  for needle, what in pairs(needles) do
    if text:find(needle, 1, true) then return what end
  end
end

if arg and (arg[0] or ""):find "support/secrets%.lua$" then
  for _, path in ipairs(arg) do
    local file = assert(io.open(path, "rb"))
    local number = 0
    for line in file:lines() do
      number = number + 1
      local what = secrets.find(line)
      if what then
        io.stderr:write(("%s:%d: %s was printed\n"):format(path, number, what))
        os.exit(1)
      end
    end
    file:close()
  end
end

return secrets
