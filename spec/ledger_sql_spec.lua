-- sql: what the ledger's database does is the same on SQLite and on PostgreSQL: values come back as
-- they went, a transaction is whole or undone, and what goes wrong is said clearly and without a
-- password, by whatever way it goes wrong.

local child = require "support.child"
local fixture = require "support.fixture"
local ledgers = require "support.ledgers"
local lfs = require "lfs"
local postgres = require "support.postgres"
local secrets = require "support.secrets"
local shell = require "support.shell"
local silent = require "support.silent"
local sockets = require "support.sockets"
local sql = require "akool.lipsync.ledger.sql"

local INTEGER = math.type or function() return "integer" end

local t = ledgers.new()
local server
setup(function() server = t.server end)

--- Open a database.
local function open(dsn)
  local db, err = sql.open(dsn)
  if not db then error(tostring(err), 2) end
  return t.keep(db)
end

--- It failed, as it should, and said so as it should. Returns the error.
local function fails(name, value, err)
  assert.is_nil(value)
  assert.are.equal(name, err.name, tostring(err))
  assert.is_truthy(err.message:find "^The ledger.*%.$", err.message)
  assert.is_nil(err.message:find "%c")
  fixture.assert_no_secret(err)
  return err
end

local function write(path, bytes, mode)
  local file = assert(io.open(path, mode or "wb"))
  file:write(bytes)
  assert(file:close())
end

--- What a program waits at that reads a byte from `t.path "gate"`. Open at both ends, so that nobody
--- waits for one who is gone.
local function a_gate()
  shell.must_run("mkfifo '%s'", t.path "gate")
  return assert(io.open(t.path "gate", "r+"))
end

--- Let it pass.
local function pass(gate)
  assert(gate:write "x")
  assert(gate:flush())
end

--- A program that opens the ledger as `db`.
local function program(dsn, code)
  return ("local db = assert(require('akool.lipsync.ledger.sql').open(%q))\n"):format(dsn) .. code
end

local MAKE = "CREATE TABLE t (k TEXT PRIMARY KEY, n DOUBLE PRECISION, s TEXT)"
local PUT = "INSERT INTO t (k, n, s) VALUES (?, ?, ?)"

local function count(db)
  return assert(db:rows "SELECT COUNT(*) AS c FROM t")[1].c
end

local databases = ledgers.databases(t)
local DIALECTS = {
  sqlite = {
    dsn = databases.SQLite,
    impatient = "PRAGMA busy_timeout = 100",
  },
  postgresql = {
    dsn = databases.PostgreSQL,
    impatient = "SELECT set_config('lock_timeout', '100ms', false)",
  },
}

for name, dialect in pairs(DIALECTS) do
  describe("a ledger in " .. name, function()
    local dsn, db

    before_each(function()
      dsn = dialect.dsn()
      db = open(dsn)
      assert(db:change(MAKE))
    end)

    it("knows what it is, and its password stands nowhere", function()
      assert.are.equal(name, db.dialect)
      assert.is_truthy(tostring(db):find "^ledger .")
      fixture.assert_no_secret(db)
      assert.are.equal(name == "sqlite" and dsn or dsn:gsub(":[^:]*@", "@"), db.name)
    end)

    describe("value", function()
      local function back(number, text)
        assert.are.equal(1, db:change(PUT, "key", number, text))
        local rows = assert(db:rows("SELECT k, n, s FROM t WHERE k = ?", "key"))
        assert.are.equal(1, #rows)
        assert(db:change "DELETE FROM t")
        return rows[1].n, rows[1].s
      end

      it("is absent where it is NULL", function()
        local number, text = back(nil, nil)
        assert.is_nil(number)
        assert.is_nil(text)
      end)

      it("is an integer where it is whole, however large", function()
        for _, n in ipairs { 0, 1, -1, 2 ^ 31 - 1, 2 ^ 31, 2 ^ 32 + 1, -2 ^ 40 - 1, 2 ^ 53 - 1,
          2 ^ 53, 1795406750 } do
          local got = back(n)
          assert.are.equal(n, got)
          assert.are.equal("integer", INTEGER(got))
        end
      end)

      it("is the same to its last bit where it is a fraction", function()
        for _, n in ipairs { 0.1, 1 / 3, -2.5, 1795406750.7043691, 1e-9, 1.7976931348623157e308 } do
          assert.are.equal(n, (back(n)))
        end
      end)

      it("is any text", function()
        for _, text in ipairs { "", " ", "it's ?", '"$1"', "\\'", "é 漢 🎬", "a\nb\tc\r\n", "NULL",
          ("x"):rep(100000) } do
          local _, got = back(1, text)
          assert.are.equal(text, got)
        end
      end)

      it("is refused where it would be cut at a byte that is zero", function()
        fails("ledger_error", db:change(PUT, "a\0b", 1, nil))
        assert.are.equal(0, count(db))
      end)

      it("lives until it is not needed any more", function()
        for i = 1, 50 do assert(db:change(PUT, "key " .. i, i, ("%d "):format(i):rep(50))) end
        for i = 1, 50 do
          local rows = assert(db:rows("SELECT k FROM t WHERE s = ? OR k = ? ORDER BY n",
            ("%d "):format(i):rep(50), "key " .. i % 50 + 1))
          collectgarbage()
          assert.are.equal(2, #rows)
        end
      end)
    end)

    it("says how many rows were changed", function()
      for i = 1, 3 do assert.are.equal(1, db:change(PUT, "k" .. i, i, nil)) end
      assert.are.equal(2, db:change("UPDATE t SET s = ? WHERE n > ?", "x", 1))
      assert.are.equal(0, db:change("UPDATE t SET s = ? WHERE n > ?", "x", 3))
      assert.are.equal(3, db:change "DELETE FROM t")
      assert.are.same({}, db:rows "SELECT k FROM t")
    end)

    it("has read to its end what only counts, and sees later what others wrote", function()
      for i = 1, 3 do assert(db:change(PUT, "k" .. i, i, nil)) end
      assert(db:change "SELECT k FROM t")
      assert.are.equal(1, open(dsn):change(PUT, "l", 1, nil))
      assert.are.equal(4, count(db))
    end)

    it("has a clock", function()
      local now = assert(db:rows("SELECT " .. db.now .. " AS now"))[1].now
      assert.is_true(math.abs(now - os.time()) < 60)
      assert(db:change(("INSERT INTO t (k, n) VALUES (?, %s + ?)"):format(db.now), "lease", -1))
      assert.are.equal(1, #db:rows(("SELECT k FROM t WHERE n < %s"):format(db.now)))
    end)

    it("says what is wrong with a statement, and goes on", function()
      for _, statement in ipairs { "SELEC 1", "SELECT x FROM nowhere", "SELECT ? FROM t", "" } do
        fails("ledger_error", db:rows(statement))
      end
      assert(db:change(PUT, "k", 1, nil))
      for _ = 1, 2 do
        assert.is_truthy(fails("ledger_error", db:change(PUT, "k", 1, nil)).message:lower()
          :find "unique")
      end
      assert.are.equal(1, db:change(PUT, "l", 1, nil))
    end)

    it("keeps no more statements than it has room for", function()
      for i = 1, 200 do assert.are.equal(i, db:rows(("SELECT %d AS i"):format(i))[1].i) end
      assert.are.equal(1, db:change(PUT, "k", 1, nil))
    end)

    it("is of no use when it is closed", function()
      db:close()
      for _, method in ipairs { "rows", "change", "transaction" } do
        local fine, why = pcall(function() db[method](db, "SELECT 1") end)
        assert.is_false(fine)
        assert.is_truthy(why:find "ledger_sql_spec.lua:%d+: the ledger is closed", why)
      end
      db:close()
    end)

    describe("transaction", function()
      it("is committed, and gives what its function gives", function()
        assert.are.same({ 1, nil, "x", n = 3 }, (function(...)
          return { n = select("#", ...), ... }
        end)(db:transaction(function(key) return db:change(PUT, key, 1, nil), nil, "x" end, "k")))
        assert.are.equal(1, count(open(dsn)))
      end)

      it("is undone when its function says nil", function()
        local value, err = db:transaction(function()
          assert(db:change(PUT, "k", 1, nil))
          return nil, "why"
        end)
        assert.is_nil(value)
        assert.are.equal("why", err)
        assert.are.equal(0, count(db))
      end)

      it("is undone when its function raises, which goes on", function()
        local what = {}
        local fine, why = pcall(db.transaction, db, function()
          assert(db:change(PUT, "k", 1, nil))
          error(what)
        end)
        assert.is_false(fine)
        assert.are.equal(what, why)
        assert.are.equal(0, count(db))
      end)

      it("is undone when a statement failed, although its function did not care", function()
        assert(db:change(PUT, "k", 1, nil))
        local ran = {}
        fails("ledger_error", db:transaction(function()
          assert(db:change(PUT, "l", 1, nil))
          ran[1] = db:change(PUT, "k", 1, nil) == nil
          ran[2] = db:change(PUT, "m", 1, nil) == nil
          return true
        end))
        assert.are.same({ true, true }, ran)
        assert.are.equal(1, count(db))
        assert.is_true(db:transaction(function() return db:change(PUT, "l", 1, nil) == 1 end))
      end)

      it("has none inside, and does not close the ledger", function()
        local nested, closing = function() db:transaction(print) end, function() db:close() end
        for _, misuse in ipairs { nested, closing } do
          local fine, why = pcall(db.transaction, db, function()
            assert(db:change(PUT, "k", 1, nil))
            misuse()
          end)
          assert.is_false(fine)
          assert.is_truthy(why:find "ledger_sql_spec.lua:%d+: a transaction is open", why)
          assert.are.equal(0, count(db))
        end
      end)

      it("is no place for the statements of another task", function()
        assert.is_true(db:transaction(function()
          local other = coroutine.create(function() db:rows "SELECT 1 AS one" end)
          local fine, why = coroutine.resume(other)
          assert.is_false(fine)
          assert.is_truthy(why:find "ledger_sql_spec.lua:%d+: a transaction of another task", why)
          return true
        end))
      end)

      it("of a process that is killed leaves nothing", function()
        local said = child.run(program(dsn, ([[
          db:transaction(function()
            assert(db:change(%q, "k", 1, nil))
            print "changed"
            io.stdout:flush()
            os.execute "kill -9 $PPID"
          end)
        ]]):format(PUT)))
        assert.is_truthy(said:find "^changed\n", said)
        assert.are.equal(0, count(db))
        assert.are.equal(1, db:change(PUT, "k", 1, nil))
      end)
    end)

    describe("locked by another process", function()
      local finish, gate

      before_each(function()
        assert(db:change(PUT, "k", 1, nil))
        gate = a_gate()
        local script = child.script(program(dsn, ([[
          print(db:transaction(function()
            assert(db:change "UPDATE t SET n = 2")
            io.open(%q, "w"):close()
            io.open(%q, "r"):read(1)
            return "let go"
          end))
        ]]):format(t.path "held", t.path "gate")), t.path "holder.lua")
        finish = child.start(script)
        assert(sockets.turn_until(function() return lfs.attributes(t.path "held") end))
      end)

      local function let_go()
        if gate then
          pass(gate)
          assert.are.equal("let go\n", (finish()))
          gate:close()
          gate = nil
        end
      end
      after_each(let_go)

      local function add()
        return db:transaction(function() return db:change "UPDATE t SET n = n + 1" end)
      end

      it("says so after a while, with nothing done, and works again later", function()
        assert(db:rows(dialect.impatient))
        for _, attempt in ipairs { add, function() return db:change "UPDATE t SET n = 9" end } do
          local err = fails("ledger_busy", attempt())
          assert.is_true(err.retryable)
          assert.are.equal("io", err.kind)
        end
        let_go()
        assert.are.equal(1, add())
        assert.are.equal(3, db:rows("SELECT n FROM t")[1].n)
      end)

      it("can be read as it was", function()
        assert.are.equal(1, db:rows("SELECT n FROM t")[1].n)
        assert.are.equal(1, open(dsn):rows("SELECT n FROM t")[1].n)
      end)
    end)

    it("is made once by many processes at a time, and takes what each of them has", function()
      local fresh = name == "sqlite" and t.path "fresh.db" or dsn
      local all = {}
      for i = 1, 6 do
        all[i] = child.start(child.script(program(fresh, ([[
          for j = 1, 5 do
            assert(db:transaction(function()
              assert(db:change "%s")
              return assert(db:change("%s", "%d " .. j, j, nil))
            end))
          end
          db:close()
          print "well"
        ]]):format(name == "sqlite" and MAKE:gsub("TABLE", "%0 IF NOT EXISTS") or "SELECT 1",
          PUT, i)), t.path(i .. ".lua")))
      end
      for _, finish in ipairs(all) do assert.are.equal("well\n", (finish())) end
      assert.are.equal(30, count(open(fresh)))
    end)
  end)
end

describe("a ledger's address", function()
  it("is a string", function()
    for _, wrong in ipairs { 42, {}, true } do
      local fine, why = pcall(function() sql.open(wrong) end)
      assert.is_false(fine)
      assert.is_truthy(why:find "ledger_sql_spec.lua:%d+: a ledger is named by a string", why)
    end
    assert.is_false((pcall(sql.open)))
  end)

  it("names a file in several ways", function()
    for _, way in ipairs { "%s", "sqlite:%s", "sqlite://%s" } do
      local path = t.path("with space ?&%41" .. #way .. ".db")
      open((way:gsub("%%s", function() return path end))):change(MAKE)
      assert.is_truthy(lfs.attributes(path))
    end
    for _, nowhere in ipairs { ":memory:", "sqlite::memory:" } do
      local db = open(nowhere)
      assert(db:change(MAKE))
      assert.are.equal(1, db:change(PUT, "k", 1, nil))
    end
  end)

  it("is refused, and not shown, when it cannot be one", function()
    local password = secrets.planted.client_secret -- with a slash, and with a plus
    for _, wrong in ipairs { "", "sqlite:", "sqlite://jobs.db", "jobs\0.db", "mysql://u:%s@h/db",
      "host=h password=%s", "password = %s", "postgresql://u:%s@h/db", "postgresql://u:a@%s@h/db",
      "postgresql://u:%s", "postgresql://h:%s/db", "postgresql://u:%%zz@h/%s",
      "postgresql://h:port/db" } do
      local db, err = sql.open((wrong:gsub("%%s", function() return password end)))
      assert.is_nil(db)
      assert.are.equal("bad_dsn", err.name, wrong)
      assert.are.equal("invalid", err.kind)
      assert.is_false(err.retryable)
      fixture.assert_no_secret(err)
    end
    assert.are.same({}, fixture.files(t.folder))
  end)

  it("of a server is given to it with patience, unless the user has another", function()
    local dsn = require "akool.lipsync.ledger.dsn"
    local function target(text) return assert(dsn.read(text)).target end
    for _, address in ipairs { "postgres://h/db", "postgresql://h" } do
      local told = target(address)
      assert.are.equal(address .. "?connect_timeout=10&tcp_user", told:sub(1, #address + 28))
    end
    assert.are.equal(target "postgresql://h", target "postgresql://h?")
    local own = target "postgresql://h/db?connect_timeout=3&keepalives_idle=5"
    assert.is_truthy(own:find("?connect_timeout=3&keepalives_idle=5&tcp_user_timeout=", 1, true))
    assert.is_nil(own:find "=10&tcp")
  end)
end)

describe("a ledger's file", function()
  local path

  before_each(function() path = t.path "jobs.db" end)

  it("has its log written ahead, and to the disk", function()
    local db = open(path)
    assert.are.equal("wal", db:rows("PRAGMA journal_mode")[1].journal_mode)
    assert.are.equal(2, db:rows("PRAGMA synchronous")[1].synchronous)
    assert.are.equal(5000, db:rows("PRAGMA busy_timeout")[1].timeout)
  end)

  it("has its log written ahead even if another process writes while it is opened", function()
    local finish = child.start(child.script(([[
      local connection = assert(require("DBI").Connect("SQLite3", %q))
      connection:autocommit(true)
      for statement in ("CREATE TABLE t (k); BEGIN IMMEDIATE; COMMIT"):gmatch "[^;]+" do
        if statement:find "COMMIT" then
          io.open(%q, "w"):close()
          os.execute "sleep 0.5"
        end
        assert(assert(connection:prepare(statement)):execute())
      end
    ]]):format(path, t.path "held"), t.path "holder.lua"))
    assert(sockets.turn_until(function() return lfs.attributes(t.path "held") end))
    local db = open(path)
    assert.are.equal("wal", db:rows("PRAGMA journal_mode")[1].journal_mode)
    assert.are.equal("", (finish()))
  end)

  it("is damaged if it is no database", function()
    write(path, ("this is no database\n"):rep(500))
    local err = fails("ledger_damaged", sql.open(path))
    assert.are.equal("io", err.kind)
    assert.is_truthy(err.message:find(path, 1, true))
    assert.are.equal(20 * 500, #fixture.read(path))
  end)

  it("is damaged if something wrote into it", function()
    local db = open(path)
    assert(db:change(MAKE))
    for i = 1, 200 do assert(db:change(PUT, "key " .. i, i, ("x"):rep(300))) end
    db:close()
    write(path, fixture.read(path):sub(1, 4096) .. ("\255"):rep(4096 * 20))
    db = open(path)
    fails("ledger_damaged", db:rows "SELECT * FROM t")
    fails("ledger_damaged", db:transaction(function() return db:change(PUT, "k", 1, nil) end))
  end)

  it("may be empty", function()
    write(path, "")
    assert(open(path):change(MAKE))
  end)

  it("has to be in a folder, and to be a file", function()
    write(t.path "file", "")
    for _, wrong in ipairs { t.path "nowhere/jobs.db", t.path "file/jobs.db", t.folder,
      "/proc/jobs.db" } do
      local err = fails("file_unusable", sql.open(wrong))
      assert.is_truthy(err.message:find(wrong, 1, true))
    end
  end)

  it("is missed when it is taken away", function()
    local db = open(path)
    assert(db:change(MAKE))
    assert(os.rename(path, path .. ".away"))
    local err = fails("file_unusable", db:change(PUT, "k", 1, nil))
    assert.is_truthy(err.message:find("taken away", 1, true))
    fails("file_unusable", db:transaction(function() error "not reached" end))
    assert(os.rename(path .. ".away", path))
    assert.are.equal(1, db:change(PUT, "k", 1, nil))
  end)

  it("has no room left, and keeps what it had", function()
    local db = open(path)
    assert(db:change(MAKE))
    assert(db:rows "PRAGMA max_page_count = 10")
    assert(db:change(PUT, "first", 1, nil))
    local err = fails("ledger_full", db:transaction(function()
      assert(db:change(PUT, "second", 1, nil))
      return db:change(PUT, "third", 1, ("x"):rep(100000))
    end))
    assert.are.equal("io", err.kind)
    assert.are.equal(1, count(db))
    assert.are.equal(1, db:change(PUT, "second", 1, nil))
  end)

  --- Run a program on a small file system over the folder, with these words of mount.
  local function mounted(mount, code)
    if not shell.succeeds("unshare -m sh -c 'mount -t tmpfs tmpfs \"%s\"'", t.folder) then
      pending "only root can mount a file system"
      return nil
    end
    local script = child.script(code)
    local said = child.start(script, {
      prefix = ([[unshare -m sh -c '%s; exec "$@"' sh]]):format(mount:gsub("FOLDER", t.folder)),
    })()
    os.remove(script)
    return said
  end

  it("is on a disk that is full", function()
    local said = mounted("mount -t tmpfs -o size=256k tmpfs FOLDER", program(path, ([[
      assert(db:change %q)
      local i, fine, err = 0, nil, nil
      repeat
        i = i + 1
        fine, err = db:transaction(function()
          return db:change(%q, "k" .. i, i, ("x"):rep(5000))
        end)
      until not fine
      print(err.name, db:rows("SELECT COUNT(*) AS c FROM t")[1].c == i - 1, i > 1)
    ]]):format(MAKE, PUT)))
    if said then assert.are.equal("ledger_full\ttrue\ttrue\n", said) end
  end)

  it("may not be written to", function()
    local db = open(path)
    assert(db:change(MAKE))
    db:close()
    local said = mounted("mount --bind FOLDER FOLDER; mount -o remount,bind,ro FOLDER", ([[
      local db, err = require("akool.lipsync.ledger.sql").open(%q)
      if db then db, err = db:change(%q, "k", 1, nil) end
      print(db, err.name, err.kind)
    ]]):format(path, PUT))
    if said then assert.are.equal("nil\tfile_unusable\tio\n", said) end
  end)
end)

describe("a ledger's server", function()
  it("is told to be patient, safe and silent", function()
    local db = open(server:new_database())
    for setting, value in pairs { statement_timeout = "30s", lock_timeout = "5s",
      synchronous_commit = "on", client_min_messages = "error", client_encoding = "UTF8" } do
      assert.are.equal(value, db:rows("SHOW " .. setting)[1][setting])
    end
  end)

  it("writes to its disk before it says so, unless it is told to do more than that", function()
    local dsn, name = server:new_database()
    for given, got in pairs { off = "on", remote_apply = "remote_apply" } do
      server:psql(("ALTER DATABASE %s SET synchronous_commit = %s"):format(name, given))
      assert.are.equal(got, open(dsn):rows("SHOW synchronous_commit")[1].synchronous_commit)
    end
  end)

  it("has nothing to say on standard error", function()
    local said = child.run(program(server:new_database(), ([[
      for _ = 1, 2 do assert(db:change %q) end
      db:close()
    ]]):format(MAKE:gsub("TABLE", "%0 IF NOT EXISTS"))))
    assert.are.equal("", said)
  end)

  it("may be asked through its socket", function()
    local address = ("postgresql://%s@/postgres?host=%s&port=%d"):format(postgres.user,
      server.folder, server.port)
    assert.are.equal(1, open(address):rows("SELECT 1 AS one")[1].one)
    address = ("postgresql://%s@%s:%d/postgres"):format(postgres.user,
      server.folder:gsub("/", "%%2F"), server.port)
    assert.are.equal(1, open(address):rows("SELECT 1 AS one")[1].one)
  end)

  it("may refuse a statement", function()
    server:psql(("CREATE ROLE guest LOGIN PASSWORD '%s'"):format(postgres.password))
    local db = open(server:dsn("postgres", { user = "guest" }))
    local err = fails("ledger_refused", db:change(MAKE))
    assert.is_truthy(err.message:find("permission denied", 1, true))
  end)

  it("was started again between two statements, and that is no matter", function()
    local db = open(server:new_database())
    assert(db:change(MAKE))
    for i, restart in ipairs { server.restart, function() server:crash() server:up() end } do
      restart(server)
      assert.are.equal(1, db:change(PUT, "a" .. i, 1, nil))
      restart(server)
      assert.are.equal(2 * i - 1, count(db))
      restart(server)
      assert.are.equal(1, db:transaction(function() return db:change(PUT, "b" .. i, 1, nil) end))
    end
  end)

  it("cut an idle connection, and that is no matter", function()
    local dsn, name = server:new_database()
    local db = open(dsn)
    assert(db:change(MAKE))
    server:psql(("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'")
      :format(name))
    assert.are.equal(1, db:change(PUT, "k", 1, nil))
  end)

  it("was started again inside a transaction: nothing of it is there", function()
    local db = open(server:new_database())
    assert(db:change(MAKE))
    local later
    local err = fails("ledger_unreachable", db:transaction(function()
      assert(db:change(PUT, "k", 1, nil))
      server:restart()
      local changed, why = db:change(PUT, "l", 1, nil)
      later = db:change(PUT, "m", 1, nil)
      return changed, why
    end))
    assert.is_true(err.retryable)
    assert.are.equal("network", err.kind)
    assert.is_nil(later)
    assert.are.equal(0, count(db))
    assert.is_true(db:transaction(function() return db:change(PUT, "k", 1, nil) == 1 end))
  end)

  it("was started again before a commit, which may have been heard: that is in doubt", function()
    local db = open(server:new_database())
    assert(db:change(MAKE))
    assert.is_true(db:transaction(function() return true end))
    local err = fails("ledger_in_doubt", db:transaction(function()
      assert(db:change(PUT, "k", 1, nil))
      server:restart()
      return true
    end))
    assert.is_false(err.retryable)
    assert.is_truthy(err.message:find("may have been made or not", 1, true))
    assert.are.equal(0, count(db))
  end)

  it("was lost by a statement: in doubt if that might have changed something", function()
    local db = open(server:new_database())
    local leave = "SELECT pg_terminate_backend(pg_backend_pid())"
    fails("ledger_in_doubt", db:change(leave))
    fails("ledger_unreachable", db:rows(leave))
    fails("ledger_unreachable", db:transaction(function() return db:change(leave) end))
    assert.are.equal(1, db:rows("SELECT 1 AS one")[1].one)
  end)

  --- Every line of what a program says is the error of a ledger that cannot be reached.
  local function unreachable(lines, said)
    local found = 0
    for line in said:gmatch "[^\n]+" do
      assert.is_truthy(line:find("^network/ledger_unreachable: The ledger postgresql://"), line)
      found = found + 1
    end
    assert.are.equal(lines, found)
  end

  -- LuaDBI leaves a descriptor behind whenever it cannot connect, so these are processes of their own.

  it("is down: a clear error, and all is well when it is up", function()
    local dsn = server:new_database()
    assert(open(dsn):change(MAKE))
    local gate = a_gate()
    local finish = child.start(child.script(program(dsn, ([[
      local function wait(name)
        io.open(name, "w"):close()
        io.open(%q, "r"):read(1)
      end
      wait(%q)
      print(select(2, require("akool.lipsync.ledger.sql").open(%q)))
      print(select(2, db:change(%q, "k", 1, nil)))
      print(select(2, db:rows "SELECT 1"))
      print(select(2, db:transaction(function() error "not reached" end)))
      wait(%q)
      assert(db:change(%q, "k", 1, nil))
    ]]):format(t.path "gate", t.path "first", dsn, PUT, t.path "second", PUT)),
      t.path "program.lua"))
    for _, step in ipairs { { t.path "first", server.down }, { t.path "second", server.up } } do
      local path, act = step[1], step[2]
      assert(sockets.turn_until(function() return lfs.attributes(path) end))
      act(server)
      pass(gate)
    end
    unreachable(4, (finish()))
    gate:close()
  end)

  it("refuses a password, a user, a database, a setting", function()
    local dsns = {
      server:dsn("postgres", { password = secrets.planted.api_key }),
      server:dsn("postgres", { user = "nobody_here" }),
      server:dsn "no_such_database",
      server:dsn "postgres" .. "?no_such_setting=1",
      ("postgresql://%s@127.0.0.1:%d/postgres?sslpassword=%s&port=x"):format(postgres.user,
        server.port, (secrets.planted.api_key:gsub("%p", "."))),
    }
    local code = {}
    for i, dsn in ipairs(dsns) do
      code[i] = ("print(select(2, require('akool.lipsync.ledger.sql').open(%q)))\n"):format(dsn)
    end
    unreachable(#dsns, (child.run(table.concat(code))))
  end)

  it("is something that never answers", function()
    local mute = silent.listen(8)
    local dsn = ("postgresql://u@127.0.0.1:%d/db?connect_timeout=2"):format(mute.port)
    unreachable(1, (child.run(("print(select(2, require('akool.lipsync.ledger.sql').open(%q)))")
      :format(dsn))))
    mute:close()
  end)
end)

describe("without LuaDBI", function()
  for module, install in pairs {
    ["DBI"] = "lua-dbi-sqlite3",
    ["dbd.sqlite3"] = "luarocks install luadbi-sqlite3",
    ["dbd.postgresql"] = "lua-dbi-postgresql",
  } do
    it(("a ledger says how %s is had"):format(module), function()
      local said = child.run(([[
        package.preload[%q] = function() error("no file here\nnor there", 0) end
        local open = require("akool.lipsync.ledger.sql").open
        print(open(%q))
      ]]):format(module, module == "dbd.postgresql" and "postgresql://h/db" or t.path "jobs.db"))
      assert.is_truthy(said:find("nil\tinvalid/no_driver: The ledger ", 1, true), said)
      assert.is_truthy(said:find(install, 1, true), said)
    end)
  end
end)
