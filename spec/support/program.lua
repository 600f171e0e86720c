--- program: runs `bin/akool-lipsync` as a process of its own, with the interpreter and the modules that
--- the specs run with. What it says is kept apart, and searched for secrets.
---
---   local t = fixture.new()
---   local akool = program.new(t)
---   local said = akool.run({ "credits", "--json" }, { environment = { AKOOL_API_KEY = false } })
---   assert.same({ "{\"credits\":1000}\n", "", 0 }, { said.out, said.err, said.status })
---
---   local running = akool.start { "wait", id }   -- reads what it says while it goes on
---   running:until_it_says "processing"
---   running:signal "sigint"
---   local said = running:wait()

local fixture = require "support.fixture"
local lfs = require "lfs"
local secrets = require "support.secrets"
local uv = require "luv"

local program = {}

local LIMIT = 60e9 -- nanoseconds that one may take
local TREE = lfs.currentdir()

---@class spec.program.options
---@field environment? table<string, string|false>  # to be set, or with false to be taken away
---@field input? string      # on its standard input; without it that is empty
---@field folder? string     # where it runs; by default the scratch folder

---@class spec.program.said
---@field out string
---@field err string
---@field status integer

--- A search path in which every template begins at the root.
local function absolute(path)
  return (path:gsub("[^;]+", function(template)
    return template:sub(1, 1) == "/" and template or TREE .. "/" .. template
  end))
end

--- The environment of a program: ours without what would reach it unasked.
function program.environment(t, given)
  local all = {}
  for name, value in pairs(uv.os_environ()) do
    local foreign = name:find "^AKOOL_" or name:find "^LUA_C?PATH"
    if not foreign and name ~= "XDG_CONFIG_HOME" then all[name] = value end
  end
  all.AKOOL_BASE_URL, all.AKOOL_API_KEY = t.service.url, fixture.secrets.api_key
  all.HOME, all.LC_ALL = t.folder, "C.UTF-8"
  all.LUA_PATH, all.LUA_CPATH = absolute(package.path), absolute(package.cpath)
  for name, value in pairs(given or {}) do all[name] = value or nil end
  local list = {}
  for name, value in pairs(all) do list[#list + 1] = name .. "=" .. value end
  return list
end

--- The words that start it.
function program.words(arguments)
  local words = { TREE .. "/bin/akool-lipsync" }
  for _, argument in ipairs(arguments) do words[#words + 1] = argument end
  return words
end

---@class spec.program.running
local running = {}
running.__index = running

local function turn_until(process, ready)
  local deadline = uv.hrtime() + LIMIT
  while not ready() do
    if uv.hrtime() > deadline then
      uv.kill(process.pid, "sigkill")
      error("the program does not end, after it said: " .. fixture.read(process.out)
        .. fixture.read(process.err))
    end
    if not process.status then
      uv.run "nowait"
      uv.sleep(2)
    end
  end
end

--- Wait until it has said something on either output; plain text.
---@param text string
function running:until_it_says(text)
  turn_until(self, function()
    local said = fixture.read(self.out) .. fixture.read(self.err)
    if said:find(text, 1, true) then return true end
    if self.status then error(("it ended without %q, after: %s"):format(text, said)) end
  end)
end

---@param signal string
function running:signal(signal)
  uv.kill(self.pid, signal)
end

--- Wait for its end.
---@return spec.program.said
function running:wait()
  turn_until(self, function() return self.status end)
  uv.run "nowait" -- the handle goes
  local said = { out = fixture.read(self.out), err = fixture.read(self.err), status = self.status }
  os.remove(self.out)
  os.remove(self.err)
  local leak = secrets.find(said.out .. said.err)
  if leak then error("the program says " .. leak, 2) end
  return said
end

--- A way to run it beside the service of a fixture.
---@param t table  # of fixture.new
function program.new(t)
  local akool = {}

  --- Start it.
  ---@param arguments string[]
  ---@param options? spec.program.options
  ---@return spec.program.running
  function akool.start(arguments, options)
    options = options or {}
    local self = setmetatable({ out = os.tmpname(), err = os.tmpname() }, running)
    local input = os.tmpname()
    local file = assert(io.open(input, "wb"))
    file:write(options.input or "")
    file:close()
    local fds = { assert(uv.fs_open(input, "r", 0)), assert(uv.fs_open(self.out, "w", 384)),
      assert(uv.fs_open(self.err, "w", 384)) }
    os.remove(input)
    local process, pid
    process, pid = uv.spawn(uv.exepath(), { args = program.words(arguments), stdio = fds,
      env = program.environment(t, options.environment), cwd = options.folder or t.folder },
      function(status, signal)
        self.status = signal ~= 0 and 128 + signal or status
        process:close()
      end)
    for _, fd in ipairs(fds) do uv.fs_close(fd) end
    assert(process, pid)
    self.pid = pid
    return self
  end

  --- Run it to its end.
  ---@param arguments string[]
  ---@param options? spec.program.options
  ---@return spec.program.said
  function akool.run(arguments, options)
    return akool.start(arguments, options):wait()
  end

  return akool
end

return program
