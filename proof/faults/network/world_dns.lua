--- Inside a network of its own: the name server is ours, and says nothing, lies, or comes back.
--- Names that are not found end calls in time, nothing waits for a lookup that is under way, and a
--- create that got no further is made once the name is found again.

local calls = require "network.calls"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local world = {}

local PORT = 53
local PATIENCE = 10 -- s: what we call at once; a lookup that nobody answers takes 20
local SILENT, FOUND, NO_SUCH_NAME, BROKEN = nil, 0, 3, 2 -- of these, the numbers are DNS's

-- The name server ------------------------------------------------------------------------------

local answer = SILENT

--- An answer to a question: our own address, or the number of what is wrong.
local function reply(question)
  local id, count = question:sub(1, 2), question:sub(5, 6)
  local name, kind = question:match("^([^%z]*%z)(..)", 13)
  local known = answer == FOUND and kind == "\0\1"
  local head = id .. string.char(0x81, 0x80 + answer) .. count .. (">I2I2I2"):pack(
    known and 1 or 0, 0, 0)
  local asked = question:sub(13, 12 + #name + 4)
  if not known then return head .. asked end
  return head .. asked .. "\xC0\x0C\0\1\0\1" .. (">I4I2"):pack(0, 4) .. "\127\0\0\1"
end

local function serve_names()
  local socket = uv.new_udp()
  assert(socket:bind("127.0.0.1", PORT))
  socket:recv_start(function(_, question, from)
    if question and answer ~= SILENT then
      socket:send(reply(question), from.ip, from.port, function() end)
    end
  end)
  socket:unref()
end

-- Scenarios ------------------------------------------------------------------------------------

--- A client of the service by a name, of which there is a new one each time: no answer is kept.
local named = 0
local function client_by_name(s, given)
  named = named + 1
  local all = { allow_http = true, connect_timeout = 0.5,
    base_url = ("http://n%d.service.test:%d"):format(named, s.service.port) }
  for name, value in pairs(given or {}) do all[name] = value end
  return s:client(nil, all)
end

local function create(s, client)
  local job, err, name = calls.create.run(s, client)
  s:told(name, job, err, true)
  return job, err
end

local function expect(began, value, err, word)
  assert(value == nil, "it succeeded")
  assert(err.name == word, tostring(err))
  assert(not err.maybe_created, "maybe_created is true, although nobody was found to send it to")
  assert(core.now() - began < PATIENCE, "it waited for the lookup")
end

--- Each call by name, ended by the same thing.
local function each_call(s, word, title)
  local scenarios = {}
  for _, call in ipairs(calls.list) do
    if call.name ~= "download" then
      scenarios[call.name .. ", " .. title] = function()
        local began = core.now()
        local given = { with_pair = call.options.with_pair }
        local client = client_by_name(s, given)
        local value, err
        if call.name == "create" then value, err = create(s, client) else
          value, err = call.run(s, client)
        end
        expect(began, value, err, word)
      end
    end
  end
  scenarios["download, " .. title] = function()
    local began = core.now()
    local host = client_by_name(s).merged.base_url
    local job = { id = s.job.id, status = "completed", video = host .. "/results/1.mp4" }
    local file, err = s:client():download(job, s.folder .. "/1.mp4",
      { connect_timeout = 0.5, allow_http = true })
    expect(began, file, err, word)
  end
  return scenarios
end

function world.rounds(s)
  serve_names()
  local silent = each_call(s, "resolve_timeout", "nobody answers")
  silent["cancelled during the lookup"] = function()
    local client, began = client_by_name(s, { connect_timeout = 60 }), core.now()
    local task = lipsync.spawn(create, s, client)
    lipsync.sleep(0.2)
    task:cancel()
    local value, err = task:join()
    expect(began, value, err, "cancelled")
  end
  return {
    { begin = function() answer = SILENT end, scenarios = silent },
    { begin = function() answer = NO_SUCH_NAME end,
      scenarios = each_call(s, "host_not_found", "no such name") },
    { begin = function() answer = BROKEN end,
      scenarios = each_call(s, "host_not_found", "the name server is broken") },
    { begin = function() answer = SILENT end, scenarios = {
      ["a create outlives a silent name server"] = function()
        local client = client_by_name(s, { max_retries = 8 })
        local task = lipsync.spawn(function()
          local name, url = s:name_a_create()
          local job, err = client:create { video_url = url, audio_url = s.audio }
          s:told(name, job, err)
          return job, err
        end)
        lipsync.sleep(0.8)
        answer = FOUND
        assert(task:join())
      end,
    } },
  }
end

--- Closing the engine under a lookup does not wait for it; nor does the end of the program, which
--- the parent looks at.
function world.finally(s, tell)
  answer = SILENT
  local client, began = client_by_name(s, { connect_timeout = 60 }), core.now()
  local task = lipsync.spawn(client.info, client, s.job.id)
  lipsync.step(0)
  lipsync.step(0.2)
  core.engine():close()
  local took = core.now() - began
  local _, err = task:join()
  tell("closed during the lookup", took >= PATIENCE and "it waited for the lookup"
    or err.name ~= "engine_closed" and tostring(err) or nil)
  lipsync.spawn(client.info, client, s.job.id)
  lipsync.step(0)
  lipsync.step(0.2) -- and now the program ends with a lookup under way
end

return world
