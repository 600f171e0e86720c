-- postgresql: what is special about a ledger on a PostgreSQL server, for `sql`.

local postgresql = {}

postgresql.driver, postgresql.module = "PostgreSQL", "dbd.postgresql"
postgresql.install = "apt install lua-dbi-postgresql, or luarocks install luadbi-postgresql"

postgresql.begin = "BEGIN"

--- Seconds since 1970, when the statement came to the server.
postgresql.now = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"

-- What the server says, and which cause that is. LuaDBI keeps the SQLSTATE to itself, so that these are
-- its English words; a server that speaks another language gets `ledger_error`, with its own words.
postgresql.causes = {
  { "statement timeout", "ledger_busy" },
  { "lock timeout", "ledger_busy" },
  { "could not obtain lock", "ledger_busy" },
  { "deadlock detected", "ledger_busy" },
  { "could not serialize", "ledger_busy" },
  { "No space left on device", "ledger_full" },
  { "disk full", "ledger_full" },
  { "permission denied", "ledger_refused" },
  { "must be owner of", "ledger_refused" },
  { "read-only transaction", "ledger_refused" },
  { "invalid page", "ledger_damaged" },
  { "could not read block", "ledger_damaged" },
  { "out of memory", "out_of_memory" },
}

--- Why there is no connection. LuaDBI overwrites what libpq says about it, so all reasons look alike;
--- where it does not, what stands in quotes may be a piece of the address.
---@param said string
---@return string cause
---@return string what
function postgresql.refusal(said)
  if said:find("no connection to the server", 1, true) then
    return "ledger_unreachable", "the server cannot be reached, or refused the user, the password, "
      .. "the database or a setting in the address"
  end
  return "ledger_unreachable", (said:gsub('"[^"]*"', '"…"'))
end

--- LuaDBI would round numbers to 14 digits, and write 3 as 3.0 where Lua knows both. Whatever the
--- locale, the server wants a point.
function postgresql.parameter(value)
  if type(value) ~= "number" then return value end
  if value % 1 == 0 and value >= -2 ^ 53 and value <= 2 ^ 53 then return ("%.0f"):format(value) end
  return (("%.17g"):format(value):gsub(",", "."))
end

--- Is the server still there? A question without consequences tells.
---@param run fun(statement: string): table[]?, table?
function postgresql.alive(run)
  return run "SELECT 1" ~= nil -- if not: another connection may help
end

--- Does libpq know by now that the connection is gone?
function postgresql.lost(connection)
  return not connection:ping()
end

-- What LuaDBI does not take care of: notices would be printed to standard error; a float would be
-- rounded; what PostgreSQL calls committed must be on its disk (a wish for more than that is left alone).
local SETTINGS = [[SELECT set_config('client_encoding', 'UTF8', false),
  set_config('client_min_messages', 'error', false),
  set_config('extra_float_digits', '3', false),
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('statement_timeout', '30s', false),
  set_config('lock_timeout', '5s', false),
  set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)]]

--- Prepare a new connection. `run` runs a statement and returns its rows.
---@param run fun(statement: string): table[]?, table?
---@return table? session
---@return table? err
function postgresql.set_up(run)
  return run(SETTINGS)
end

return postgresql
