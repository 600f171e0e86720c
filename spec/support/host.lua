--- host: runs a script in a program that Lua runs in: in a folder of its own, with the module that was
--- built for its Lua, and told where the service is.
---
---   local t = fixture.new(host.SERVICE)
---   local run = host.start(t, { program = "nvim --headless -u NONE -S SCRIPT", lua = "jit", code = … })
---   run:ends_well()

local assert = require "luassert"
local child = require "support.child"
local fixture = require "support.fixture"
local lfs = require "lfs"
local silent = require "support.silent"
local uv = require "luv"

local host = {}

--- A service whose jobs are done at once.
host.SERVICE = { manual_clock = false, queue = 0, process = 0, credits = 1e9 }

local TREE = lfs.currentdir()
local CLEARED = { "LUA_PATH_5_2", "LUA_CPATH_5_2", "LUA_PATH_5_3", "LUA_CPATH_5_3", "LUA_PATH_5_4",
  "LUA_CPATH_5_4", "LUA_INIT", "AKOOL_TOKEN", "AKOOL_CLIENT_ID", "AKOOL_CLIENT_SECRET", "AKOOL_LOG",
  "DISPLAY", "WAYLAND_DISPLAY" }

-- The Luas themselves, by the names that CMake's AKL_LUA gives them: words of a shell.
host.LUAS = {
  ["5.1"] = "lua5.1 SCRIPT", ["5.2"] = "lua5.2 SCRIPT", ["5.3"] = "lua5.3 SCRIPT",
  ["5.4"] = "lua5.4 SCRIPT", jit = "luajit SCRIPT",
}

--- Where a program with this Lua finds our modules, and those of the specs.
---@param lua string  # as CMake's AKL_LUA calls it
---@return string path
---@return string cpath
function host.paths(lua)
  local folder = lua == "5.4" and "build" or "build/" .. lua
  return ("%s/lua/?.lua;%s/spec/?.lua;;"):format(TREE, TREE), ("%s/%s/?.so;;"):format(TREE, folder)
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

---@class spec.host.run
---@field folder string    # where it runs, and where the script is
---@field private finish fun(): string, integer
---@field private silence spec.silent
local run = {}
run.__index = run
host.run = run

--- Wait until the program ends, which it has to do by itself and content. Returns what it said.
---@return string
function run:ends_well()
  local said, status = self.finish()
  self.silence:close()
  assert.equal(0, status, said)
  return said
end

--- Is a result in its folder, and nothing beside it that was a part?
---@param name string
function run:has_film(name)
  assert.equal("ftyp", fixture.read(self.folder .. "/" .. name):sub(5, 8))
  assert.is_nil(lfs.attributes(self.folder .. "/" .. name .. ".part"))
end

--- A port that nobody listens at, below those that the kernel gives to clients.
---@return integer
function host.free_port()
  while true do
    local port, socket = math.random(20000, 29999), uv.new_tcp()
    local free = socket:bind("127.0.0.1", port) and socket:listen(1, function() end)
    socket:close()
    uv.run "nowait"
    if free then return port end
  end
end

---@class spec.host.options
---@field program string   # words of a shell; SCRIPT is the path of the script
---@field lua string       # which Lua it has, as CMake's AKL_LUA calls it
---@field code string      # the script
---@field script? string   # what it is called
---@field files? table<string, string> # what else is in its folder: name → text
---@field environment? table<string, string|false>

--- Start a program that Lua runs in.
---@param t table  # of fixture.new
---@param options spec.host.options
---@return spec.host.run
function host.start(t, options)
  local self = setmetatable({ silence = silent.listen(128) }, run)
  repeat
    t.hosts = (t.hosts or 0) + 1
    self.folder = t.path("host-" .. t.hosts)
  until lfs.mkdir(self.folder)
  local script = self.folder .. "/" .. (options.script or "script.lua")
  write(script, options.code)
  for name, text in pairs(options.files or {}) do write(self.folder .. "/" .. name, text) end
  local path, cpath = host.paths(options.lua)
  local environment = {
    LUA_PATH = path, LUA_CPATH = cpath, HOME = self.folder,
    AKOOL_BASE_URL = t.service.url, AKOOL_API_KEY = fixture.secrets.api_key,
    SILENT_URL = "http://127.0.0.1:" .. self.silence.port,
  }
  for _, name in ipairs(CLEARED) do environment[name] = false end
  for name, value in pairs(options.environment or {}) do environment[name] = value end
  self.finish = child.start(script, { program = options.program, folder = self.folder,
    environment = environment })
  return self
end

--- Start a program that runs `support.exercise`, where the service takes its time.
---@param t table
---@param options spec.host.options
---@return spec.host.run
function host.exercise(t, options)
  t.service:clear()
  t.service:fail { at = "create", delay = 0.3, times = "always" }
  return host.start(t, options)
end

--- Raise unless the exercise went as it should. Waits for the end.
function run:stood_it()
  local said = self:ends_well()
  assert(lfs.attributes(self.folder .. "/facts"), said)
  local facts = {}
  for name, value in fixture.read(self.folder .. "/facts"):gmatch "(%w+)=([^\n]*)" do
    facts[name] = value
  end
  local ticks = tonumber(facts.ticks)
  facts.ticks = nil
  assert.same({
    films = "10", errors = "",                       -- ten jobs at once
    cancelled = "cancelled", deadline = "timeout",
    closed = "cancelled", left = "0",                -- what was under way, and descriptors
    again = "completed",                             -- with an engine made anew
  }, facts)
  assert.is_true(ticks >= 5, ticks) -- of some thirty, if the host's loop went on
end

--- Start a script on every Lua, all at once.
---@param start function     # host.start or host.exercise
---@param t table  # of fixture.new
---@param code string
---@return table[] runs
function host.on_every_lua(start, t, code)
  local runs = {}
  for lua, program in pairs(host.LUAS) do
    runs[#runs + 1] = start(t, { program = program, lua = lua, code = code })
  end
  return runs
end

return host
