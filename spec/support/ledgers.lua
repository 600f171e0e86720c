--- ledgers: what specs of the ledger share: both databases, a ledger on one of them with a worker, rows
--- in any state, and all of it closed after the spec.
---
---   local t = ledgers.new()  # of fixture.new, and more
---   for name, new_dsn in pairs(ledgers.databases(t)) do
---     describe("A ledger on " .. name, function()
---       local book, ours
---       before_each(function() book, ours = t.start(new_dsn()) end)
---       it("…", function() t.bring("a", "done") … end)

local assert = require "luassert"
local busted = require "busted"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local ledger = require "akool.lipsync.ledger"
local postgres = require "support.postgres"

local ledgers = {}

ledgers.LEASE = 30 -- seconds, of every worker

--- `own`, and what was given for this spec.
local function with(own, given)
  for name, value in pairs(given or {}) do own[name] = value end
  return own
end

--- One row to add; each key has a voice of its own.
function ledgers.item(key, given)
  return with({ key = key, video_url = "https://example.com/clip.mp4",
    audio_url = "https://example.com/" .. key .. ".wav", output = key .. ".mp4" }, given)
end

--- A job as the service tells of it.
function ledgers.job(id, given)
  return with({ id = id, status = "processing", created_at = 1795406750, credits = 20,
    duration = 11.7 }, given)
end

--- The keys of rows, in a line.
function ledgers.keys_of(rows)
  local keys = {}
  for i, row in ipairs(rows) do keys[i] = row.key end
  return table.concat(keys, " ")
end

--- By key: in what order a claim returns its rows, no database promises.
function ledgers.sorted(rows)
  table.sort(rows, function(a, b) return a.key < b.key end)
  return rows
end

--- It was refused for this reason, which names what it is about. Returns the error.
function ledgers.refused(name, about, value, err)
  assert.is_nil(value)
  assert.are.equal(name, err.name, tostring(err))
  assert.is_truthy(err.message:find(about, 1, true), err.message)
  return err
end

--- How the databases are called, each with a function that returns a fresh address.
---@param t table  # with `path` and `server`
---@return table<string, fun(): string>
function ledgers.databases(t)
  return {
    SQLite = function() return t.path "jobs.db" end,
    PostgreSQL = function() return (t.server:new_database()) end,
  }
end

--- Register the life of a PostgreSQL server and a service for the describe block around it.
---@return table t
function ledgers.new()
  local opened = {}

  busted.after_each(function() -- before the fixture looks
    for _, handle in ipairs(opened) do handle:close() end
    opened = {}
  end)

  local t = fixture.new()
  local book, ours, dsn

  busted.setup(function() t.server = postgres.start() end)
  busted.teardown(function() t.server:stop() end)

  --- Close this after the spec, too.
  function t.keep(handle)
    opened[#opened + 1] = handle
    return handle
  end

  function t.open(address)
    return t.keep(assert(ledger.open(address)))
  end

  --- Open the ledger that all below is about. Returns it and a worker of it.
  function t.start(address)
    dsn = address
    book = t.open(dsn)
    ours = assert(book:worker("ours", ledgers.LEASE))
    return book, ours
  end

  --- Another worker, with a connection of its own.
  function t.other()
    return assert(t.open(dsn):worker("theirs", ledgers.LEASE))
  end

  --- Add rows: items, or their keys.
  function t.add(...)
    local list = {}
    for i, one in ipairs { ... } do
      list[i] = type(one) == "string" and ledgers.item(one) or one
    end
    return assert(book:add(list))
  end

  function t.state(key) return assert(book:row(key)).state end

  --- Let the database's clock have moved on by so many seconds since a worker renewed its lease.
  function t.age(worker, seconds)
    assert.are.equal(1, book.db:change([[UPDATE lipsync_workers SET leased_at = leased_at - ?,
      held_until = held_until - ? WHERE name = ?]], seconds, seconds, worker))
  end

  --- A row in some state, on the way that leads there.
  function t.bring(key, where)
    local job = ledgers.job
    t.add(key)
    if where == "planned" then return end
    if where == "cancelled" then return assert(book:obey("cancel", key)) end
    local row = assert(ours:claim_planned(1000))
    assert.are.equal(key, row.key)
    if where == "submitting" then return end
    if where == "unknown" or where == "failed" then
      return assert(ours:ended(key, where, core.error("worker_lost", "It was lost.")))
    end
    assert.is_true(ours:submitted(key, row.attempts, job("j" .. key)))
    if where == "submitted" then return end
    assert.is_true(ours:moved(key, "processing", job("j" .. key)))
    if where == "processing" then return end
    if where == "expired" then
      return assert(ours:ended(key, where, core.error("worker_lost", "It expired.")))
    end
    assert.is_true(ours:moved(key, "ready", job("j" .. key, { status = "completed",
      video = "https://example.com/film.mp4", expires_at = 1796011550 })))
    if where == "ready" then return end
    assert.is_true(ours:done(key, { path = "/films/" .. key, bytes = 5, sha256 = "abc" }))
  end

  return t
end

return ledgers
