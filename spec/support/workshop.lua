--- workshop: what the workers of a batch share, seen from outside: a service, a ledger and a folder for
--- films. Each worker is a process of its own, so that it can be killed.
---
---   local shop = workshop.new { rows = 12 }
---   shop:open()                       -- a fresh ledger, an empty folder; the service forgets
---   local worker = shop:start()
---   shop:kill_after(worker, 0.05)
---   shop:wait(worker)
---   shop:close()

local mock = require "akool.lipsync.mock"
local shell = require "support.shell"
local uv = require "luv"

local workshop = {}

local PATIENCE = 60 -- seconds for anything
local PROGRAM = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/worker.lua"

---@class spec.workshop
---@field rows integer
---@field service akool.lipsync.mock.handle
---@field films string        # the folder of what comes out of the jobs, a film for each row
---@field out string          # the folder that the workers fill
---@field dsn string
---@field file string?        # of the ledger, if it is one
local Workshop = {}
Workshop.__index = Workshop

--- Numbers from 0 to 1 that depend on nothing but the seed, on every Lua.
---@param seed integer
---@return fun(): number
function workshop.random(seed)
  local state = seed % 2147483646 + 1
  return function()
    state = state * 16807 % 2147483647
    return (state - 1) / 2147483646
  end
end

--- Turn luv's loop until `done()` is true; false if that takes too long.
---@param done fun(): boolean?
---@return boolean
local function turn_until(done)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  local tick = uv.new_timer()
  tick:start(0, 2, function() end) -- so that a turn of the loop ends soon
  while not done() and uv.hrtime() < deadline do uv.run "once" end
  tick:close()
  uv.run "nowait"
  return done() and true or false
end
workshop.turn_until = turn_until

--- The key of a row.
function workshop.key(i) return ("row-%04d"):format(i) end

--- Films that differ, of a few sizes.
local function make_films(self)
  for i = 1, self.rows do
    local file = assert(io.open(("%s/%s.mp4"):format(self.films, workshop.key(i)), "wb"))
    file:write("\0\0\0\24ftypmp42", (workshop.key(i) .. "\n"):rep(1000 + i % 7 * 700))
    file:close()
  end
end

---@class spec.workshop.options
---@field rows integer
---@field concurrency integer?
---@field lease number?    # s
---@field queue number?    # s, of a job at the service
---@field process number?  # s
---@field database (fun(): string, fun())? # makes a ledger on a server: its address, and what drops it

--- A service and folders for so many rows.
---@param options spec.workshop.options
---@return spec.workshop
function workshop.new(options)
  local folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/workshop-XXXXXX"))
  local self = setmetatable({ folder = folder, films = folder .. "/films", rows = options.rows,
    concurrency = options.concurrency or 4, lease = options.lease or 0.3,
    database = options.database, rounds = 0, log = folder .. "/log" }, Workshop)
  assert(uv.fs_mkdir(self.films, 448))
  make_films(self)
  self.service = assert(mock.start { files = self.films, credits = 1e9,
    queue = options.queue or 0.02, process = options.process or 0.02 })
  return self
end

--- A fresh ledger, an empty folder, and a service without jobs.
function Workshop:open()
  self:clear()
  self.rounds = self.rounds + 1
  self.place = ("%s/%d"):format(self.folder, self.rounds)
  self.out = self.place .. "/out"
  assert(uv.fs_mkdir(self.place, 448))
  assert(uv.fs_mkdir(self.out, 448))
  if self.database then
    self.dsn, self.drop = self.database()
  else
    self.file = self.place .. "/jobs.db"
    self.dsn = self.file
  end
  assert(self.service:reset())
end

--- Take the last ledger and its folder away.
function Workshop:clear()
  if self.drop then self.drop() end
  if self.place then shell.must_run("rm -rf '%s' '%s'", self.place, self.log) end
  self.drop, self.place = nil, nil
end

function Workshop:close()
  self:clear()
  self.service:stop()
  shell.must_run("rm -rf '%s'", self.folder)
end

-- Workers ---------------------------------------------------------------------------------------

--- The words of the command that is a worker.
---@return string[]
function Workshop:command()
  return { uv.exepath(), "-e", ("package.path, package.cpath = %q, %q"):format(package.path,
    package.cpath), PROGRAM, self.dsn, self.out, self.service.url, self.service.api_key,
    tostring(self.rows), tostring(self.concurrency), tostring(self.lease) }
end

---@class spec.worker
---@field pid integer
---@field seconds number?  # that it took, once it ended
---@field code integer?    # how it ended
---@field signal integer?

--- Start a worker, with words in front of its command if any are given.
---@param prefix string[]?
---@return spec.worker
function Workshop:start(prefix)
  local words = {}
  for _, list in ipairs { prefix or {}, self:command() } do
    for _, word in ipairs(list) do words[#words + 1] = word end
  end
  local log = assert(uv.fs_open(self.log, "a", 384))
  local worker, began = {}, uv.hrtime()
  local process, pid = uv.spawn(table.remove(words, 1), { args = words, stdio = { nil, log, log } },
    function(code, signal)
      worker.code, worker.signal = code, signal
      worker.seconds = (uv.hrtime() - began) / 1e9
      worker.process:close()
      if worker.timer and not worker.timer:is_closing() then worker.timer:close() end
    end)
  uv.fs_close(log)
  assert(process, pid)
  worker.process, worker.pid = process, pid
  return worker
end

--- Kill a worker, unless it has ended by then.
---@param worker spec.worker
---@param seconds number
function Workshop.kill_after(_, worker, seconds)
  worker.timer = uv.new_timer()
  worker.timer:start(math.floor(seconds * 1000 + 0.5), 0, function()
    worker.timer:close()
    worker.process:kill "sigkill"
  end)
end

--- Wait for a worker's end.
---@param worker spec.worker
function Workshop:wait(worker)
  if not turn_until(function() return worker.code end) then
    worker.process:kill "sigkill"
    turn_until(function() return worker.code end)
    error("a worker does not end:\n" .. self:said())
  end
end

--- Was it killed? If it was not, it has to have ended well.
---@param worker spec.worker
---@return boolean
function Workshop:was_killed(worker)
  if worker.signal == 9 then return true end
  if worker.code == 0 and worker.signal == 0 then return false end
  error(("a worker ended with code %d, signal %d:\n%s"):format(worker.code, worker.signal,
    self:said()), 2)
end

--- What workers complained of.
function Workshop:said()
  return (shell.run("tail -n 30 '%s'", self.log))
end

--- Wait until the service has seen the end of every connection, and so everything that was sent.
function Workshop:settle()
  local quiet = 0
  local settled = turn_until(function()
    quiet = self.service:connections() == 0 and quiet + 1 or 0
    return quiet >= 3
  end)
  if not settled then error "the service has connections although their processes have ended" end
end

return workshop
