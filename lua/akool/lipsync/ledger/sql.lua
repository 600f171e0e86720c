-- sql: LuaDBI made dependable, for the ledger. Rows are read to their end, numbers come back as they
-- went, whatever fails is an error of ours that says which ledger and what to do, a transaction is whole
-- or undone, and a server that was gone is found again.
--
-- Two rules for statements. One text serves both databases: placeholders are `?`, and an apostrophe
-- stands only around texts. Columns for numbers are DOUBLE PRECISION: LuaDBI cuts what either database
-- calls an integer, and what SQLite keeps as one in a NUMERIC column, to 32 bits.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.load"
local dsn = require "akool.lipsync.ledger.dsn"

local unpack = compat.unpack
local tointeger = math.tointeger or function(number) return number end

local DIALECTS = {
  sqlite = require "akool.lipsync.ledger.sqlite",
  postgresql = require "akool.lipsync.ledger.postgresql",
}
local STATEMENTS_MAX = 64 -- prepared ones that are kept
local WORDS_MAX = 400     -- characters of what a database says

---@class akool.lipsync.ledger.Database
---@field dialect "sqlite"|"postgresql"
---@field now string       # SQL: seconds since 1970 with their fractions, by the database's clock
---@field name string      # for messages
---@field private rules table
---@field private place fun(): akool.lipsync.ledger.Place  # a function, so that nobody prints a password
---@field private connection userdata?
---@field private session table  # what the dialect wants to know about the connection
---@field private statements table<string, userdata>
---@field private count integer  # # of statements
---@field private transacting { task: thread?, failed: table? }?
---@field private closed boolean
local Database = {}
Database.__index = Database

function Database:__tostring() return "ledger " .. self.name end

-- Errors ----------------------------------------------------------------------------------------

local LUADBI_SAYS = { "^Failed to connect to database: ", "^Execute failed ", "^Fetch failed ",
  "^Error %l+ statement %l+: " }

local function cause_of(why, causes)
  for _, cause in ipairs(causes) do
    if why:find(cause[1], 1, true) then return cause[2] end
  end
  return "ledger_error"
end

--- What the database said: its first line, since others quote whole rows, and without the passwords.
local function words(self, why)
  for _, prefix in ipairs(LUADBI_SAYS) do why = why:gsub(prefix, "") end
  for _, secret in ipairs(self.place().secrets) do
    why = why:gsub(secret:gsub("%p", "%%%0"), "***")
  end
  why = why:match("^[^\n]*"):gsub("%c", " "):gsub("%s+", " "):gsub("[%s.]+$", "")
  return why:sub(1, WORDS_MAX)
end

local function failure(self, name, what)
  return core.error(name, ("The ledger %s: %s."):format(self.name, what))
end

-- The connection --------------------------------------------------------------------------------

--- Let go of prepared statements: an unfinished one would keep SQLite from closing.
local function release(self)
  for _, handle in pairs(self.statements) do pcall(handle.close, handle) end
  self.statements, self.count = {}, 0
end

local function disconnect(self)
  release(self)
  if self.connection then pcall(self.connection.close, self.connection) end
  self.connection = nil
end

local function forget(self, statement)
  local handle = self.statements[statement]
  if not handle then return end
  pcall(handle.close, handle)
  self.statements[statement], self.count = nil, self.count - 1
end

local function prepare(self, statement)
  local handle = self.statements[statement]
  if handle then return handle end
  if self.count >= STATEMENTS_MAX then release(self) end
  local fine, made, why = pcall(self.connection.prepare, self.connection, statement)
  if not fine or not made then return nil, tostring(fine and why or made) end
  self.statements[statement], self.count = made, self.count + 1
  return made
end

local function integers(row)
  for name, value in pairs(row) do
    if type(value) == "number" and value % 1 == 0 and value >= -2 ^ 53 and value <= 2 ^ 53 then
      row[name] = tointeger(value)
    end
  end
  return row
end

local function all_rows(handle)
  local rows = {}
  local row = handle:fetch(true)
  while row do
    rows[#rows + 1] = integers(row)
    row = handle:fetch(true)
  end
  return rows
end

local function affected(handle)
  while handle:fetch() do end -- a statement that is not finished would hold a lock
  return handle:affected()
end

--- Run a statement to its end. LuaDBI lets SQLite look into the parameters until then, so they have to
--- live in this function. `sent` says whether the database may have heard of the statement.
---@return any result
---@return string? why
---@return boolean? sent
local function run(self, take, statement, ...)
  local handle, why = prepare(self, statement)
  if not handle then return nil, why, false end
  local fine, done, refused = pcall(handle.execute, handle, ...)
  if fine and done then
    fine, done = pcall(take, handle)
    if fine then return done end
    refused = done
  elseif not fine then
    refused = done
  end
  forget(self, statement) -- the next one to use it would be told of the same error
  return nil, tostring(refused), true
end

--- The error of a statement. With a lost connection everything about it goes.
local function statement_failure(self, why, in_doubt)
  local said = words(self, why)
  if not self.rules.lost(self.connection) then
    return failure(self, cause_of(why, self.rules.causes), said)
  end
  disconnect(self)
  return failure(self, in_doubt and "ledger_in_doubt" or "ledger_unreachable",
    "the connection was lost: " .. said)
end

--- LuaDBI with the driver that is needed.
local function driver(self)
  local found, dbi = pcall(require, "DBI")
  local why = dbi
  if found then found, why = pcall(require, self.rules.module) end
  if found then return dbi end
  why = tostring(why):match "^[^\n]*"
  return nil, failure(self, "no_driver", ("LuaDBI or its driver for %s cannot be loaded: %s (%s)")
    :format(self.rules.driver, why:gsub("[%s.:]+$", ""), self.rules.install))
end

local function connect_failure(self, why)
  local cause, what = self.rules.refusal(words(self, why))
  return failure(self, cause, what)
end

local function connect(self)
  local dbi, err = driver(self)
  if not dbi then return nil, err end
  local fine, connection, why = pcall(dbi.Connect, self.rules.driver, self.place().target)
  if not fine or not connection then
    return nil, connect_failure(self, tostring(fine and why or connection))
  end
  self.connection = connection
  connection:autocommit(true) -- transactions are begun by us
  self.session, err = self.rules.set_up(function(statement)
    local rows, trouble = run(self, all_rows, statement)
    if rows then return rows end
    return nil, statement_failure(self, trouble)
  end)
  if self.session then return true end
  disconnect(self)
  return nil, err
end

--- A connection that works, as far as one can know.
local function ensure(self)
  if self.connection then
    local alive, cause, what = self.rules.alive(function(statement)
      return (run(self, all_rows, statement))
    end, self.session)
    if alive then return true end
    if cause then return nil, failure(self, cause, what) end
    disconnect(self)
  end
  return connect(self)
end

-- Statements ------------------------------------------------------------------------------------

--- Raise if this is no moment for a statement, at the line that called our caller.
local function check(self)
  if self.closed then error("the ledger is closed", 3) end
  local transacting = self.transacting
  if transacting and transacting.task ~= compat.running() then
    error("a transaction of another task is open: nothing may wait inside a transaction", 3)
  end
end

--- The parameters as the driver needs them; a text that it would cut is refused.
local function parameters(self, ...)
  local list = { n = select("#", ...), ... }
  for i = 1, list.n do
    local value = list[i]
    if type(value) == "string" and value:find("\0", 1, true) then
      return nil, failure(self, "ledger_error", "a text with a byte that is zero cannot be kept")
    end
    list[i] = self.rules.parameter(value)
  end
  return list
end

--- A statement inside a transaction or outside.
local function statement_of(self, take, reads, statement, ...)
  local transacting = self.transacting
  if transacting and transacting.failed then return nil, transacting.failed end
  local list, err = parameters(self, ...)
  if list and not transacting then
    local fine
    fine, err = ensure(self)
    if not fine then return nil, err end
  end
  local result, why, sent
  if list then
    result, why, sent = run(self, take, statement, unpack(list, 1, list.n))
    if result then return result end
    err = statement_failure(self, why, sent and not reads and not transacting)
  end
  if transacting then transacting.failed = err end
  return nil, err
end

--- Run a statement and return its rows by the names of their columns. What is NULL is absent.
---@param statement string
---@param ... string|number|boolean|nil
---@return table[]? rows
---@return table? err
function Database:rows(statement, ...)
  check(self)
  local reads = statement:find "^%s*[Ss][Ee][Ll][Ee][Cc][Tt]%s" ~= nil
  local rows, err = statement_of(self, all_rows, reads, statement, ...)
  return rows, err
end

--- Run a statement and return how many rows it changed (of INSERT, UPDATE, DELETE).
---@param statement string
---@param ... string|number|boolean|nil
---@return integer? affected
---@return table? err
function Database:change(statement, ...)
  check(self)
  local count, err = statement_of(self, affected, false, statement, ...)
  return count, err
end

-- Transactions ----------------------------------------------------------------------------------

--- Undo. SQLite may have done so by itself, and says no then; a server that says no is left, since a
--- transaction dies with its connection.
local function roll_back(self)
  if not self.connection then return end
  local fine = run(self, affected, "ROLLBACK")
  if not fine and self.dialect == "postgresql" then disconnect(self) end
end

local function commit(self)
  local fine, why, sent = run(self, affected, "COMMIT")
  if fine then return true end
  local err = statement_failure(self, why, sent)
  roll_back(self)
  return nil, err
end

--- The end of a transaction, by how its function ended.
local function finish(self, fine, first, ...)
  local failed = self.transacting.failed
  self.transacting = nil
  if fine and first ~= nil and not failed then
    local committed, err = commit(self)
    if not committed then return nil, err end
    return first, ...
  end
  roll_back(self)
  if not fine then error(first, 0) end
  if first == nil then return nil, ... end
  return nil, failed
end

--- Run `f` inside a transaction, a writer from its first moment. It is committed unless f returns nil
--- first, raises, or had a statement fail: then all of it is undone. Nothing may wait in it.
---@param f function
---@param ... any  # for f
---@return any ...  # what f returns; nil and an error if it did not come about
function Database:transaction(f, ...)
  check(self)
  if self.transacting then error("a transaction is open already", 2) end
  local fine, err = ensure(self)
  if not fine then return nil, err end
  local begun, why = run(self, affected, self.rules.begin)
  if not begun then return nil, statement_failure(self, why) end
  self.transacting = { task = compat.running() }
  return finish(self, pcall(f, ...))
end

--- Close it. Nothing else can be done with it then.
function Database:close()
  if self.transacting then error("a transaction is open", 2) end
  disconnect(self)
  self.closed = true
end

local sql = {}

--- Open a ledger's database. This makes no tables.
---@param address string  # "jobs.db", "sqlite:///srv/jobs.db", ":memory:", "postgresql://…"
---@return akool.lipsync.ledger.Database?
---@return table? err
function sql.open(address)
  if type(address) ~= "string" then
    error(('a ledger is named by a string such as "jobs.db", not by a %s'):format(type(address)), 2)
  end
  local place, why = dsn.read(address)
  if not place then
    return nil, core.error("bad_dsn", ("The ledger's address cannot be used: %s."):format(why))
  end
  local rules = DIALECTS[place.dialect]
  local self = setmetatable({ dialect = place.dialect, now = rules.now, name = place.name,
    rules = rules, place = function() return place end, statements = {}, count = 0,
    closed = false }, Database)
  local fine, err = connect(self)
  if not fine then return nil, err end
  return self
end

return sql
