--- child: runs a Lua program in a process of its own, with the modules that we have, and searches
--- what it says for secrets.
---
---   local said, status = child.run(code, { environment = { AKOOL_LOG = "debug" } })

local secrets = require "support.secrets"
local uv = require "luv"

local child = {}

local LIMIT = 60 -- seconds that a child may take
local SANITIZERS = { "LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS" }

---@class spec.child.options
---@field environment? table<string, string|false>  # to be set, or with false to be taken away
---@field bare? boolean      # nothing else is in the environment, but for what a sanitizer needs
---@field folder? string     # where it runs
---@field prefix? string     # words of a shell in front of the interpreter
---@field program? string    # words of a shell instead of the interpreter; SCRIPT is the script's path
---@field arguments? string[]
---@field errors? boolean    # what it says on standard error is kept apart

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Writes a program that begins with our search paths; returns the path of its file.
---@param code string
---@param path? string  # of the file to write; a temporary one by default
---@return string
function child.script(code, path)
  path = path or os.tmpname()
  local file = assert(io.open(path, "wb"))
  assert(file:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath),
    code))
  assert(file:close())
  return path
end

local function command(script, options, errors)
  local words = { "env" }
  local function word(text) words[#words + 1] = text end
  if options.folder then table.insert(words, 1, "cd " .. quote(options.folder) .. " &&") end
  if options.bare then
    word "-i"
    for _, name in ipairs(SANITIZERS) do
      local value = os.getenv(name)
      if value then word(name .. "=" .. quote(value)) end
    end
  end
  for name, value in pairs(options.environment or {}) do
    if not value then word("-u " .. name) end
  end
  for name, value in pairs(options.environment or {}) do
    if value then word(name .. "=" .. quote(value)) end
  end
  word(("timeout -k 5 %d"):format(LIMIT))
  word(options.prefix or "")
  word(options.program and options.program:gsub("SCRIPT", (quote(script):gsub("%%", "%%%%")))
    or quote(uv.exepath()) .. " " .. quote(script))
  for _, argument in ipairs(options.arguments or {}) do word(quote(argument)) end
  word(errors and "2>" .. quote(errors) or "2>&1")
  return "{ " .. table.concat(words, " ") .. "; }; echo \"status $?\""
end

--- Starts the program in the file `script`. The function that it returns waits for its end and
--- returns what it said and how it ended, and what it said on standard error if that is apart.
---@param script string
---@param options? spec.child.options
---@return fun(): string, integer, string?
function child.start(script, options)
  options = options or {}
  local errors = options.errors and os.tmpname()
  local pipe = assert(io.popen(command(script, options, errors)))
  return function()
    local said, status = pipe:read("*a"):match("^(.-)status (%d+)\n$")
    pipe:close()
    local complaints
    if errors then
      local file = assert(io.open(errors, "rb"))
      complaints = file:read("*a")
      file:close()
      os.remove(errors)
    end
    local leak = secrets.find(said .. (complaints or ""))
    if leak then error("a child says " .. leak, 2) end
    return said, tonumber(status), complaints
  end
end

--- Runs a program to its end.
---@param code string
---@param options? spec.child.options
---@return string said
---@return integer status  # for the shell
---@return string? errors  # if they are kept apart
function child.run(code, options)
  local script = child.script(code)
  local said, status, errors = child.start(script, options)()
  os.remove(script)
  return said, status, errors
end

return child
