-- dsn: where a ledger is, read from the words that a user gives, and how to call it in messages: a
-- password stands in none of them.

local dsn = {}

-- What libpq is told unless the user says something else: nothing hangs, whatever the network does.
-- The last four end a connection whose other side is gone without a word.
local PATIENCE = {
  { "connect_timeout", "10" }, { "tcp_user_timeout", "30000" }, { "keepalives_idle", "30" },
  { "keepalives_interval", "10" }, { "keepalives_count", "3" },
}

-- How libpq's other kind of address begins. SQLite would make a file with the password in its name.
local KEYWORDS = { host = true, hostaddr = true, port = true, dbname = true, user = true,
  password = true, service = true, passfile = true }

---@class akool.lipsync.ledger.Place
---@field dialect "sqlite"|"postgresql"
---@field target string    # for the driver: a path, or the address with the password in it
---@field name string      # for messages
---@field secrets string[] # what may stand in no message

local function printable(text)
  return (text:gsub("%c", "?"))
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

--- The passwords of an address, as they stand there and decoded.
local function passwords(credentials, query)
  local found = {}
  local function keep(password)
    if not password or password == "" then return end
    found[#found + 1] = password
    found[#found + 1] = decoded(password)
  end
  keep(credentials:match ":(.*)")
  for name, value in query:gmatch "([^&=]+)=([^&]*)" do
    if name:find "password" then keep(value) end
  end
  return found
end

--- The address with our patience added.
local function patient(address, query)
  local parts = {}
  for _, setting in ipairs(PATIENCE) do
    local name, value = setting[1], setting[2]
    local given = ("&" .. query):find("&" .. name .. "=", 1, true)
      or name == "connect_timeout" and os.getenv "PGCONNECT_TIMEOUT"
    if not given then parts[#parts + 1] = name .. "=" .. value end
  end
  local joint = not address:find("?", 1, true) and "?" or query == "" and "" or "&"
  return address .. (#parts > 0 and joint or "") .. table.concat(parts, "&")
end

--- An address of libpq's: postgresql://user:password@host:port/database?settings. Where a password
--- contains what ends it, libpq would take its rest for a host and say it aloud; so that is refused.
local function postgresql(address)
  local scheme, rest = address:match "^(postgres%w*://)(.*)$"
  local authority, path = rest:match "^([^/]*)(.*)$"
  local _, ats = rest:gsub("@", "")
  if ats > 1 or ats == 1 and not authority:find("@", 1, true) then
    return nil, "it is ambiguous: inside a user's name, a password or a setting, write @ as %40, "
      .. "/ as %2F and : as %3A"
  end
  if rest:gsub("%%%x%x", ""):find("%", 1, true) then
    return nil, "behind a % there have to be two hexadecimal digits; the character itself is %25"
  end
  local credentials, hosts = authority:match "^(.*)@(.*)$"
  credentials, hosts = credentials or "", hosts or authority
  local user = credentials:match "^[^:]*"
  local query = (hosts .. path):match "%?(.*)$" or ""
  hosts, path = hosts:match "^[^?]*", path:match "^[^?]*"
  for port in hosts:gsub("%b[]", ""):gmatch ":([^,]*)" do
    if not port:find "^%d*$" then return nil, "the port of its host is not a number" end
  end
  return {
    dialect = "postgresql",
    target = patient(address, query),
    secrets = passwords(credentials, query),
    name = printable(scheme .. (user ~= "" and user .. "@" or "") .. hosts .. path),
  }
end

local function sqlite(path)
  return { dialect = "sqlite", target = path, name = printable(path), secrets = {} }
end

--- Read an address: a path, sqlite:PATH, sqlite:///PATH, :memory:, postgresql://….
---@param text string
---@return akool.lipsync.ledger.Place? place
---@return string? why  # what is wrong with it
function dsn.read(text)
  if text == "" then return nil, "it is empty" end
  if text:find("\0", 1, true) then return nil, "it contains a byte that is zero" end
  if text:find "^postgresql://" or text:find "^postgres://" then return postgresql(text) end
  if KEYWORDS[text:match "^%s*(%l+)%s*="] then
    return nil, "it is a list of settings, which has to be written as an address"
  end
  local path = text:match "^sqlite:(.*)$"
  if not path then
    local scheme = text:match "^(%a[%w+.-]*)://"
    if scheme then return nil, ("nothing is known about %s://"):format(scheme) end
    return sqlite(text)
  end
  if path:find "^//" then
    path = path:match "^//(/.*)$"
    if not path then
      return nil, "behind sqlite:// comes a path from the root, as in sqlite:///srv/jobs.db"
    end
  end
  if path == "" then return nil, "it names no file" end
  return sqlite(path)
end

return dsn
