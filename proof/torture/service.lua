-- service: the mock service that the trials of one process share, and what it is asked about each of
-- them. Runs in a Lua state of its own, in which nothing fails.

local uv = require "luv"
local mock = require "akool.lipsync.mock"
local scenarios = require "scenarios"

local service = {}

local PATIENCE = 10 -- seconds for the service to see that a trial's connections are closed

local context, running, folder, mute

--- Start it, with one job and with a listener that accepts connections and never says a word.
function service.open()
  running = assert(mock.start { queue = 0, process = 0, credits = 1e9 })
  folder = assert(uv.fs_mkdtemp(assert(os.getenv "AKL_TORTURE_FOLDER") .. "/XXXXXX"))
  mute = uv.new_tcp()
  assert(mute:bind("127.0.0.1", 0))
  assert(mute:listen(128, function() end))
  context = {
    url = running.url, mute = "https://127.0.0.1:" .. mute:getsockname().port,
    api_key = running.api_key, client_id = running.client_id,
    client_secret = running.client_secret, folder = folder,
    tls = os.getenv "AKL_TORTURE_TLS", ca_file = os.getenv "AKL_TORTURE_CA_FILE",
  }
end

function service.close()
  running:stop()
  mute:close()
  uv.run("nowait")
end

local function empty_folder()
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(folder)) do
    assert(os.remove(folder .. "/" .. name))
  end
end

--- Make everything as the scenario wants to find it. Returns what the scenario is told.
---@param name string
---@return table<string, string>
function service.arrange(name)
  empty_folder()
  assert(running:reset())
  scenarios.by_name[name].arrange(running, context)
  return context
end

--- What is wrong with what the service saw of a trial, nil if all is well. A trial makes at most one
--- create, and who made a job knows of it, or knows that there may be one. Lua's own error about
--- memory says neither: a program that gets it out of a create has to take it for "maybe".
---@param _ string
---@param ending "completed"|"failed"|"raised"
---@param note string # what the scenario was told about a job: "job", "maybe", "none"
---@return string?
function service.settle(_, ending, note)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  while running:connections() > 0 do
    if uv.hrtime() > deadline then return "a connection was left open" end
    uv.sleep(1)
  end
  local creates, jobs = running:count "create", #running:jobs()
  if creates > 1 or jobs > 1 then
    return ("the service saw %d creates and made %d jobs"):format(creates, jobs)
  end
  if jobs == 1 and ending ~= "raised" and note == "none" then
    return "a job was made, and nobody was told of it"
  end
  if jobs == 0 and note == "job" then return "there is no such job" end
end

return service
