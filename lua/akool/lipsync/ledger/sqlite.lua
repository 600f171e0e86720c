-- sqlite: what is special about a ledger in a file, for `sql`.

local ENOENT = 2

local sqlite = {}

sqlite.driver, sqlite.module = "SQLite3", "dbd.sqlite3"
sqlite.install = "apt install lua-dbi-sqlite3, or luarocks install luadbi-sqlite3"

--- A writer from its first moment: a reader that becomes one later may find that it is too late.
sqlite.begin = "BEGIN IMMEDIATE"

--- Seconds since 1970.
sqlite.now = "((julianday('now') - 2440587.5) * 86400.0)"

-- What SQLite says, in one language everywhere, and which cause that is. The first that is found counts.
sqlite.causes = {
  { "is locked", "ledger_busy" },
  { "file is not a database", "ledger_damaged" },
  { "malformed", "ledger_damaged" },
  { "database or disk is full", "ledger_full" },
  { "unable to open database file", "file_unusable" },
  { "readonly database", "file_unusable" },
  { "out of memory", "out_of_memory" },
}

--- Why a file cannot be opened.
---@param said string
---@return string cause
---@return string what
function sqlite.refusal(said) return "file_unusable", said end

--- Numbers and texts go as they are.
function sqlite.parameter(value) return value end

--- Is the file where it was? SQLite would not notice and go on writing to what nobody will ever find.
--- (To open it would end the locks that this process has on it; to rename it to itself only asks.)
---@param session { file: string }
---@return boolean
---@return string? cause  # why there is no sense in connecting again
---@return string? what
function sqlite.alive(_, session)
  if session.file == "" then return true end
  local there, why, number = os.rename(session.file, session.file)
  if there or number ~= ENOENT then return true end
  return false, "file_unusable", "its file was taken away while it was open, " .. why
end

--- There is nothing between us and a file.
function sqlite.lost() return false end

--- Turn the write-ahead log on, which the file remembers. While somebody else does the same, SQLite
--- refuses at once instead of waiting, so we wait in our own way. If it cannot be had, the ledger is
--- slower and just as safe.
local function log_ahead(run)
  local rows, err = run "PRAGMA journal_mode"
  if not rows then return nil, err end
  for _ = 1, 10 do
    if rows and rows[1].journal_mode == "wal" then return true end
    rows, err = run "PRAGMA journal_mode = WAL"
    if rows then return true end
    if err.name ~= "ledger_busy" then return nil, err end
    local begun, why = run(sqlite.begin)
    if not begun then return nil, why end
    run "ROLLBACK"
    rows = run "PRAGMA journal_mode"
  end
  return true
end

--- Prepare a new connection. `run` runs a statement and returns its rows.
---@param run fun(statement: string): table[]?, table?
---@return { file: string }? session
---@return table? err
function sqlite.set_up(run)
  local fine, err = run "PRAGMA busy_timeout = 5000"
  if fine then fine, err = log_ahead(run) end
  if fine then fine, err = run "PRAGMA synchronous = FULL" end
  if fine then fine, err = run "PRAGMA database_list" end
  if not fine then return nil, err end
  return { file = fine[1].file or "" }
end

return sqlite
