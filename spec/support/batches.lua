--- batches: what specs of batches share: films to order, ledgers on both databases, what a run told,
--- and a look at each after the spec for credentials in it.
---
---   local t = batches.new({ queue = 0, process = 0 })  # of fixture.new, and more
---   local b = t.batch(t.dsn())
---   b:add(t.films(3))
---   t.run(b)
---   assert.equal("submitting submitted ready downloading done", t.said "f1")

local batch = require "akool.lipsync.batch"
local busted = require "busted"
local fixture = require "support.fixture"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local postgres = require "support.postgres"

local batches = {}

--- Register the life of a service for the describe block around it.
---@param options table  # as fixture.new; with postgres, a server of that too
---@return table t
function batches.new(options)
  local opened, heard = {}, {}

  busted.after_each(function() -- before the fixture looks
    for _, b in ipairs(opened) do
      if not b.ledger.db.closed then
        local rows = b:rows()
        b:close()
        fixture.assert_no_secret(rows)
      end
    end
    fixture.assert_no_secret(heard)
    opened, heard = {}, {}
  end)

  local wanted = {}
  for name, value in pairs(options) do wanted[name] = value end
  wanted.postgres = nil
  local t = fixture.new(wanted)

  busted.before_each(function()
    t.films_folder = t.path "films"
    assert(lfs.mkdir(t.films_folder))
  end)

  if options.postgres then
    busted.setup(function() t.server = postgres.start() end)
    busted.teardown(function() t.server:stop() end)
  end

  --- A batch of a quick client, which sends everything once, unless `given` says otherwise.
  function t.batch(dsn, given)
    local all = { output_dir = t.films_folder, patience = 20 }
    for name, value in pairs(given or {}) do all[name] = value end
    all.client = all.client or t.client { max_retries = 0 }
    local b = assert(batch.open(dsn or t.path "jobs.db", all))
    opened[#opened + 1] = b
    return b
  end

  --- One film to order; each key has a voice of its own.
  function t.film(key, given)
    local all = { key = key, video_url = t.video,
      audio_url = ("%s/files/voice.wav?of=%s"):format(t.service.url, key) }
    for name, value in pairs(given or {}) do all[name] = value end
    return all
  end

  --- So many films: f1, f2, …
  function t.films(count)
    local list = {}
    for i = 1, count do list[i] = t.film("f" .. i) end
    return list
  end

  --- Run a batch. What it tells is kept; `on` are functions by type of event.
  function t.run(b, on, opts)
    local all = {}
    for name, value in pairs(opts or {}) do all[name] = value end
    function all.on_event(event)
      heard[#heard + 1] = event
      local f = on and on[event.type]
      if f then f(event) end
    end
    return b:run(all)
  end

  --- The events of a type, or all.
  function t.told(type)
    local list = {}
    for _, event in ipairs(heard) do
      if not type or event.type == type then list[#list + 1] = event end
    end
    return list
  end

  --- The types of what was told of a row, in a line, but for the progress of its download.
  function t.said(key)
    local words = {}
    for _, event in ipairs(heard) do
      if event.key == key and event.type ~= "progress" then words[#words + 1] = event.type end
    end
    return table.concat(words, " ")
  end

  --- The states of all rows, in a line.
  function t.states(b)
    local words = {}
    for i, row in ipairs(b:rows()) do words[i] = row.state end
    return table.concat(words, " ")
  end

  --- Let the result of a job be gone from the service, by its clock and by what it says.
  function t.expire(id)
    t.service:advance(8 * 24 * 3600)
    t.service:set(id, { create_time = (os.time() - 8 * 24 * 3600) * 1000 })
  end

  --- Inside a task: wait until something is so.
  function t.await(is_so)
    while not is_so() do assert(lipsync.sleep(0.005)) end
  end

  return t
end

return batches
