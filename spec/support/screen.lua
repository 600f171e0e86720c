--- screen: runs the program in a terminal, which tmux is, and looks at what stands there.
---
---   local screen = screens.open(t, { "wait", id }, { columns = 80 })
---   screen:until_it_shows "queueing"
---   screen:resize(40)
---   assert.equal("…", screen:text())

local fixture = require "support.fixture"
local program = require "support.program"
local secrets = require "support.secrets"
local shell = require "support.shell"
local uv = require "luv"

local screens = {}

local LIMIT = 30e9 -- nanoseconds in which something has to be shown
local ROWS = 12

local opened = 0

local CONFIGURATION = [[
set -g status off
set -g default-terminal screen-256color
]]

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

---@class spec.screen
local screen = {}
screen.__index = screen

--- Says something to the tmux that the screen is of; returns what it answers.
function screen:tmux(command, ...)
  return shell.must_run("tmux -u -S %s -f %s " .. command, quote(self.socket),
    quote(self.configuration), ...)
end

--- What stands on the screen, without the spaces behind its lines and the empty lines at its end.
---@param colours boolean?  # with the sequences for them
---@return string
function screen:text(colours)
  local text = self:tmux("capture-pane -p%s", colours and "e" or "")
  local leak = secrets.find(text)
  if leak then error("the screen shows " .. leak, 2) end
  return (text:gsub("[ ]+\n", "\n"):gsub("\n+$", "\n"))
end

--- The same in a form that is always the same: times and ids are others each time.
---@param shares boolean?  # how much of a download is here is another each time, too
---@return string
function screen:golden(shares)
  local text = self:text():gsub("%f[%w]%d+:%d%d%f[%W]", "0:00")
  text = text:gsub("%f[%x]%x[%x.]*%x", function(id)
    local named = #id >= 12 and id:find "%d"
    return named and id:gsub("%x", "x") or nil
  end)
  if not shares then return text end
  text = text:gsub("[ %d]%d%%", "00%%")
  return (text:gsub("%[[=> ]+%]", function(bar) return "[" .. ("="):rep(#bar - 2) .. "]" end))
end

--- Wait until the screen is as wanted.
---@param wanted fun(text: string): any
function screen:until_it(wanted)
  local deadline = uv.hrtime() + LIMIT
  while not wanted(self:text()) do
    if uv.hrtime() > deadline then error("it never shows that, but: " .. self:text(), 2) end
    uv.sleep(20)
  end
end

---@param words string
function screen:until_it_shows(words)
  self:until_it(function(text) return text:find(words, 1, true) end)
end

---@param columns integer
function screen:resize(columns)
  self:tmux("resize-window -x %d -y %d", columns, ROWS)
end

--- Press a key, by its name in tmux.
---@param key string
function screen:press(key)
  self:tmux("send-keys %s", key)
end

function screen:close()
  self:tmux "kill-server"
end

--- Open one, and run the program in it. After its end the screen shows "status N".
---@param t table
---@param arguments string[]
---@param options { columns: integer?, environment: table? }?
---@return spec.screen
function screens.open(t, arguments, options)
  options = options or {}
  opened = opened + 1 -- a tmux that is ending still has its socket
  local self = setmetatable({ socket = t.path("tmux" .. opened),
    configuration = t.path "tmux.conf" }, screen)
  local file = assert(io.open(self.configuration, "wb"))
  file:write(CONFIGURATION)
  file:close()
  local words = { "cd", quote(t.folder), ";", "env", "-i" }
  local given = { TERM = "screen-256color" }
  for name, value in pairs(options.environment or {}) do given[name] = value end
  for _, setting in ipairs(program.environment(t, given)) do words[#words + 1] = quote(setting) end
  words[#words + 1] = quote(uv.exepath())
  for _, word in ipairs(program.words(arguments)) do words[#words + 1] = quote(word) end
  words[#words + 1] = '; echo "status $?"; exec sleep 60 2>/dev/null'
  -- by a script, because a command in tmux's arguments would show the key to everybody
  local script = os.tmpname()
  file = assert(io.open(script, "wb"))
  file:write("rm ", quote(script), "\ntrap : INT\n", table.concat(words, " "))
  file:close()
  self:tmux("new-session -d -x %d -y %d %s", options.columns or 80, ROWS, quote("sh " .. script))
  return self
end

--- What a file in spec/golden has, or, with UPDATE_GOLDEN in the environment, will have from now on.
---@param name string
---@param text string
---@return string
function screens.golden(name, text)
  local path = ("spec/golden/%s.txt"):format(name)
  if os.getenv "UPDATE_GOLDEN" then
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end
  return fixture.read(path)
end

return screens
