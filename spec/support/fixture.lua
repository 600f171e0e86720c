-- fixture: what every spec needs. A mock service of its own with planted credentials, clients of it
-- with quick schedules, a scratch folder, and a check after each spec that nothing was left behind:
-- no descriptor, no op, no task, and no credential in anything that was said.
--
--   local fixture = require "support.fixture"
--   describe("client:info", function()
--     local t = fixture.new()          -- registers setup, teardown, before_each, after_each
--     it("…", function() local client = t.client() … t.service:fail{ … } … end)
--   end)

local busted = require "busted"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local lfs = require "lfs"
local secrets = require "support.secrets"
local uv = require "luv"

uv.new_tcp():close() -- libuv keeps a descriptor from its first socket on; let that be now,
uv.run "nowait"      -- and luv has to see it closed before Lua ends

local fixture = {}

-- What no error, event, file or line of a log may ever contain, in whatever form.
fixture.secrets = secrets.planted

--- How many descriptors this process has open.
function fixture.descriptors()
  local count = 0
  for name in lfs.dir("/proc/self/fd") do
    if name ~= "." and name ~= ".." then count = count + 1 end
  end
  return count - 1 -- the one that reads the folder
end

--- Everything in a value, down to the strings, as one text.
local function flatten(value, seen)
  if type(value) ~= "table" then return tostring(value) end
  if seen[value] then return "" end
  seen[value] = true
  local parts = { tostring(value) }
  for k, v in pairs(value) do
    parts[#parts + 1] = flatten(k, seen) .. "=" .. flatten(v, seen)
  end
  return table.concat(parts, "\n")
end

--- Raise if a value, or anything in it, contains a secret, or any part of one, in any encoding.
function fixture.assert_no_secret(value)
  local found = secrets.find(flatten(value, {}))
  if found then error("a value contains " .. found, 2) end
end

--- Raise if a file in a folder does, or below it.
local function assert_no_secret_in(path)
  for name in lfs.dir(path) do
    local inner = path .. "/" .. name
    local mode = lfs.symlinkattributes(inner, "mode")
    if mode == "directory" and name ~= "." and name ~= ".." then assert_no_secret_in(inner) end
    if mode == "file" and not name:find "%.lua$" then -- the programs of specs are told them
      local found = secrets.find(fixture.read(inner))
      if found then error(("%s contains %s"):format(name, found)) end
    end
  end
end

--- A fresh folder; returns its path.
local function scratch()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path
end

--- Remove a folder and what is in it.
local function remove(path)
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then
      local child = path .. "/" .. name
      if lfs.symlinkattributes(child, "mode") == "directory" then
        remove(child)
      else
        os.remove(child)
      end
    end
  end
  lfs.rmdir(path)
end

--- The files in a folder, sorted.
function fixture.files(path)
  local names = {}
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The content of a file.
function fixture.read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

--- Make a file of this content.
function fixture.write(path, content)
  local file = assert(io.open(path, "wb"))
  file:write(content)
  assert(file:close())
end

--- Register the life of a service for the describe block around it.
---@param options table?  # of mock.start
function fixture.new(options)
  local t = {}
  local baseline

  busted.setup(function()
    local given = { manual_clock = true, queue = 5, process = 10, files = "examples/media" }
    for k, v in pairs(fixture.secrets) do given[k] = v end
    for k, v in pairs(options or {}) do given[k] = v end
    t.service = assert(mock.start(given))
    t.video = t.service.url .. "/files/clip.mp4"
    t.audio = t.service.url .. "/files/voice.wav"
  end)

  busted.teardown(function() t.service:stop() end)

  busted.before_each(function()
    t.service:reset()
    t.folder = scratch()
    t.events = {}
    core.engine():close()
    collectgarbage()
    baseline = fixture.descriptors()
  end)

  busted.after_each(function()
    collectgarbage()
    collectgarbage()
    local stats = core.engine():stats()
    core.engine():close()
    collectgarbage()
    assert(stats.calls == 0, "an op was left behind")
    assert(stats.running == 0 and stats.queued == 0, "an exchange was left behind")
    assert(lipsync.step(0) == 0, "a task was left behind")
    core.engine():close()
    local left = fixture.descriptors() - baseline
    assert(left == 0, ("%d descriptors were left behind"):format(left))
    fixture.assert_no_secret(t.events)
    assert_no_secret_in(t.folder)
    remove(t.folder)
  end)

  --- A client of the service. Quick: it polls every few milliseconds. Every event is kept in
  --- t.events and searched for secrets.
  function t.client(given)
    local all = {
      api_key = fixture.secrets.api_key,
      base_url = t.service.url,
      poll = { first = 0.01, max = 0.02, factor = 1, jitter = 0 },
      on_event = function(event) t.events[#t.events + 1] = event end,
    }
    if given and (given.token or given.client_id) then all.api_key = nil end
    for k, v in pairs(given or {}) do all[k] = v end
    return assert(lipsync.new(all))
  end

  --- Make a job at the service; returns it.
  function t.job(client)
    return assert((client or t.client()):create { video_url = t.video, audio_url = t.audio })
  end

  --- Make a job that is completed.
  function t.completed(client)
    local job = t.job(client)
    t.service:advance(60)
    return assert((client or t.client()):wait(job))
  end

  --- A path in the scratch folder.
  function t.path(name)
    return t.folder .. "/" .. name
  end

  --- The events of one type.
  function t.events_of(type)
    local found = {}
    for _, event in ipairs(t.events) do
      if event.type == type then found[#found + 1] = event end
    end
    return found
  end

  return t
end

return fixture
