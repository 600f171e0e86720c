-- A batch when something on this machine or on the way to the service does not work: it says what, goes
-- on when it is over, and neither loses what it knows nor pays twice.

local batch = require "akool.lipsync.batch"
local batches = require "support.batches"
local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local ledgers = require "support.ledgers"
local lfs = require "lfs"
local shell = require "support.shell"
local sql = require "akool.lipsync.ledger.sql"

local IMPATIENT = { -- so that nobody waits for a lock as long as users do
  SQLite = "PRAGMA busy_timeout = 50",
  PostgreSQL = "SELECT set_config('lock_timeout', '50ms', false)",
}

describe("A batch", function()
  local t = batches.new { queue = 0, process = 0, postgres = true }

  local function finishes(b, count)
    assert.equal(count, assert(t.run(b)).done)
    assert.equal(count, #t.service:jobs())
  end

  --- It failed for this reason.
  local function fails(name, value, err)
    assert.is_nil(value)
    assert.equal(name, err.name, tostring(err))
    fixture.assert_no_secret(err)
  end

  -- The network -------------------------------------------------------------------------------------

  it("goes on when the network was gone for a while", function()
    local b = t.batch()
    b:add(t.films(2))
    t.service:down()
    assert(t.run(b, { paused = function(event)
      assert.equal("connection_refused", event.error.name)
      t.service:up()
    end }))
    assert.equal("done done", t.states(b))
    assert.equal(2, #t.service:jobs())
  end)

  it("gives up after its patience, with everything as it was", function()
    local b = t.batch(nil, { patience = 0.1, concurrency = 1 })
    b:add(t.films(2))
    t.service:down()
    local summary = assert(t.run(b))
    t.service:up()
    assert.equal("connection_refused", summary.stopped.name)
    assert.equal("planned planned", t.states(b))
    assert.equal(0, t.service:count "create")
    finishes(b, 2)
  end)

  it("fetches a film again whose download broke", function()
    local b = t.batch()
    b:add(t.film "f1")
    t.service:fail { at = "file", cut = 3000, with = "rst" }
    finishes(b, 1)
    assert.equal("submitting submitted ready downloading trouble downloading done", t.said "f1")
  end)

  -- Folders and disks -------------------------------------------------------------------------------

  it("does not begin without its folder, and pays nothing", function()
    local b = t.batch(nil, { output_dir = t.path "gone" })
    b:add(t.film "f1")
    fails("file_unusable", b:run())
    assert.equal(0, t.service:count "create")
    assert(lfs.mkdir(t.path "gone"))
    finishes(b, 1)
  end)

  it("whose folder goes away submits nothing more, and fetches what it has once it is back",
    function()
      local b = t.batch(nil, { concurrency = 1 })
      b:add(t.films(3))
      local summary = assert(t.run(b, { submitted = function() lfs.rmdir(t.films_folder) end }))
      assert.equal("file_unusable", summary.stopped.name)
      assert.same({ 0, 1, 2 }, { summary.failed, summary.ready, summary.planned })
      assert(lfs.mkdir(t.films_folder))
      finishes(b, 3)
    end)

  it("on a full disk keeps what it has bought, and fetches it when there is room", function()
    local dsn = t.server:new_database()
    local b = t.batch(dsn, { concurrency = 1 })
    b:add(t.films(2))
    local said = child.run(([[
      local batch, lipsync = require "akool.lipsync.batch", require "akool.lipsync"
      local b = assert(batch.open(%q, { output_dir = %q, concurrency = 1,
        client = assert(lipsync.new { poll = { first = 0.01, max = 0.02 } }) }))
      local summary = assert(b:run())
      print(summary.stopped.kind, summary.stopped.name, summary.ready > 0, summary.failed)
      b:close()
    ]]):format(dsn, t.films_folder), {
      environment = { AKOOL_API_KEY = fixture.secrets.api_key, AKOOL_BASE_URL = t.service.url,
        GCOV_PREFIX = t.folder }, -- if it counts its lines: those of others would be cut short
      errors = true, -- on which it would say that its own are
      prefix = [[sh -c 'trap "" XFSZ; ulimit -f 2; exec "$0" "$@"']] })
    assert.equal("io\twrite_failed\ttrue\t0\n", said)
    finishes(b, 2)
  end)

  it("on a full disk, with its ledger there too, writes down what it has bought once there is room",
    function()
      local mount = ("mount -t tmpfs -o size=512k tmpfs \"%s\""):format(t.films_folder)
      if not shell.succeeds("unshare -m sh -c '%s'", mount) then
        pending "only root can mount a small file system"
        return
      end
      local said = child.run(([[
        local batch, lipsync = require "akool.lipsync.batch", require "akool.lipsync"
        local folder, url = %q, %q
        local b = assert(batch.open(folder .. "/jobs.db", { output_dir = folder,
          client = assert(lipsync.new { poll = { first = 0.01, max = 0.02 } }) }))
        assert(b:add { key = "f1", video_url = url .. "/v", audio_url = url .. "/a" })
        local filler = folder .. "/filler"
        local summary = assert(b:run { on_event = function(event)
          if event.type == "submitting" then
            local file = io.open(filler, "wb")
            file:setvbuf "no"
            for size = 12, 0, -1 do -- to the last byte
              repeat until not file:write(("x"):rep(2 ^ size))
            end
            file:close()
          elseif event.type == "trouble" then
            print(event.error.name)
            os.remove(filler)
          end
        end })
        print(summary.done, summary.unknown)
        b:close()
      ]]):format(t.films_folder, t.service.url), {
        environment = { AKOOL_API_KEY = fixture.secrets.api_key, AKOOL_BASE_URL = t.service.url },
        prefix = ([[unshare -m sh -c '%s; exec "$0" "$@"']]):format(mount) })
      assert.equal("ledger_full\n1\t0\n", said)
      assert.equal(1, #t.service:jobs())
    end)

  -- The ledger --------------------------------------------------------------------------------------

  for name, impatient in pairs(IMPATIENT) do
    it("waits for a ledger that another program has locked: " .. name, function()
      local dsn = ledgers.databases(t)[name]()
      local b, other = t.batch(dsn), assert(sql.open(dsn))
      b:add(t.film "f1")
      assert(b.ledger.db:rows(impatient))
      local begin = name == "SQLite" and "BEGIN IMMEDIATE" or "BEGIN"
      assert(t.run(b, {
        submitting = function() -- the create leaves, and its outcome cannot be written down
          assert(other:change(begin))
          assert(other:change "UPDATE lipsync_jobs SET position = position")
        end,
        trouble = function(event)
          assert.equal("ledger_busy", event.error.name)
          assert(other:change "ROLLBACK")
        end,
      }))
      other:close()
      assert.equal(1, #t.told "trouble")
      assert.equal("done", t.states(b))
      assert.equal(1, t.service:count "create")
    end)
  end

  it("looks again when it could not see whether something is left", function()
    local b = t.batch()
    b:add(t.film "f1")
    t.service:fail { at = "create", code = 1005 } -- so that nothing is under way when it looks
    local count, failed = b.ledger.count, false
    function b.ledger:count()
      if failed then return count(self) end
      failed = true
      return nil, core.error("ledger_busy", "The ledger is locked.")
    end
    local summary = assert(t.run(b))
    assert.same({ true, 1, nil }, { failed, summary.done, summary.stopped })
    assert.equal("ledger_busy", t.told "trouble"[1].error.name)
  end)

  it("goes on when its server was started again", function()
    local b = t.batch((t.server:new_database()))
    b:add(t.films(2))
    local restarted
    assert(t.run(b, { submitting = function()
      if restarted then return end
      restarted = true
      t.server:restart()
    end }))
    assert.equal("done done", t.states(b))
    assert.equal(2, t.service:count "create")
  end)

  it("whose ledger is taken away says which job it could not write down", function()
    local b = t.batch()
    b:add(t.film "f1")
    local path = t.path "jobs.db"
    local summary, err = t.run(b, { submitting = function() os.rename(path, path .. ".away") end })
    os.rename(path .. ".away", path)
    fails("file_unusable", summary, err)
    local id = t.service:jobs()[1]._id
    assert.equal(id, t.told "trouble"[1].job)
    assert.is_truthy(t.told "trouble"[1].error.message:find(id, 1, true))
    assert.is_truthy(err.message:find(id, 1, true), err.message)
  end)

  it("does not touch what is no ledger", function()
    local path = t.path "photo.db"
    local file = assert(io.open(path, "wb"))
    file:write(("no ledger"):rep(1000))
    file:close()
    fails("ledger_damaged", batch.open(path))
    assert.equal(("no ledger"):rep(1000), fixture.read(path))
  end)

  it("adds all or nothing to a ledger without room", function()
    local b = t.batch()
    b:add(t.film "f1")
    assert(b.ledger.db:rows "PRAGMA max_page_count = 30")
    local list = t.films(500)
    fails("ledger_full", b:add(list))
    assert.equal(1, b:status().total)
    assert(b.ledger.db:rows "PRAGMA max_page_count = 100000")
    assert.equal(499, b:add(list))
  end)
end)
