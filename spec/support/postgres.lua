--- postgres: runs a real PostgreSQL server for a spec: on a free port of 127.0.0.1 and on a socket, in
--- a folder of its own. It ends, and the folder goes, when it is stopped or the process of the spec is
--- gone, however that ended: a keeper beside the server reads a pipe from here.
---
---   local server = postgres.start()
---   local dsn = server:new_database()
---   server:restart()
---   server:stop()

local uv = require "luv"
local secrets = require "support.secrets"
local shell = require "support.shell"
local sockets = require "support.sockets"

local postgres = {}

--- Who everything belongs to, and the password: one that is looked for in all that is said.
postgres.user, postgres.password = "keeper", secrets.planted.client_secret

local ATTEMPTS = 5 -- at a port: another program may take it between our look and the server's bind

-- What is told to the keeper, in lines; it says each again when that is done. At the end of them the
-- server goes without ceremony, since its data goes too.
local KEEPER = [[
  trap "" HUP INT TERM
  folder=$1 server=
  shift
  gone() {
    [ -n "$server" ] || return 0
    kill "-$1" "$server" 2>/dev/null || :
    wait "$server" || :
    server=
  }
  while read -r word; do
    case $word in
      up) "$@" </dev/null >>"$folder/log" 2>&1 & server=$! ;;
      down) gone INT ;;
      crash) gone QUIT ;;
    esac
    echo "$word"
  done
  gone QUIT
  cd /
  rm -rf "$folder"
]]

--- The folder of the server's programs: Debian keeps them apart from other programs, by version.
local function programs()
  local path = shell.run("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"):match "^/[^\n]*"
  if path then return path .. "/" end
  return shell.must_run("dirname \"$(command -v postgres)\""):match "[^\n]*" .. "/"
end

--- Who runs it: the server refuses root.
---@return { uid: integer?, gid: integer?, prefix: string }
local function who()
  if uv.getuid() ~= 0 then return { prefix = "" } end
  return {
    uid = tonumber(shell.must_run "id -u postgres"),
    gid = tonumber(shell.must_run "id -g postgres"),
    prefix = "setpriv --reuid=postgres --regid=postgres --clear-groups ",
  }
end

--- Text for an address: a password may contain what separates its parts.
local function encoded(text)
  return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---@class spec.postgres
---@field port integer
---@field folder string   # its socket is in there, and its log
---@field pid integer     # of the keeper
local server = {}
server.__index = server

--- Tell the keeper something and wait until it is done.
function server:tell(word)
  self.said = nil
  self.input:write(word .. "\n")
  assert(sockets.turn_until(function() return self.said == word .. "\n" end), word)
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

--- The address of a database, over TCP and with the password.
---@param database string?
---@param parts { user: string?, password: string?, port: integer? }?
---@return string
function server:dsn(database, parts)
  parts = parts or {}
  return ("postgresql://%s:%s@127.0.0.1:%d/%s"):format(parts.user or postgres.user,
    encoded(parts.password or postgres.password), parts.port or self.port, database or "postgres")
end

--- Run statements as the owner, over the socket, where nobody is asked for a password.
---@param statements string
---@return string said
function server:psql(statements)
  return shell.must_run("%spsql -X -q -t -A -v ON_ERROR_STOP=1 -h '%s' -p %d -U %s -d postgres "
    .. "<<'END'\n%s\nEND", self.programs, self.folder, self.port, postgres.user, statements)
end

--- Does it take connections by now? Its own word for it, in the file that names its process.
local function is_ready(self)
  return read(self.folder .. "/data/postmaster.pid"):find "\nready%s*$" ~= nil
    and sockets.accepts(self.port)
end

--- Start it again after `down` or `crash`.
function server:up()
  self:tell "up"
  if not sockets.turn_until(function() return is_ready(self) end) then
    error("PostgreSQL did not start:\n" .. read(self.folder .. "/log"))
  end
end

--- End it as an administrator would, who does not wait for those who are connected.
function server:down() self:tell "down" end

--- End it in the middle of everything.
function server:crash() self:tell "crash" end

function server:restart()
  self:down()
  self:up()
end

--- A fresh database; returns its address.
---@return string dsn
---@return string name
function server:new_database()
  self.databases = self.databases + 1
  local name = "db" .. self.databases
  self:psql(("CREATE DATABASE %s TEMPLATE template0"):format(name))
  return self:dsn(name), name
end

--- A fresh database that may go before the server does.
---@return string dsn
---@return fun() drop  # whoever is still connected to it
function server:scratch_database()
  local dsn, name = self:new_database()
  return dsn, function() self:psql(("DROP DATABASE %s WITH (FORCE)"):format(name)) end
end

--- Stop it and remove its folder. Harmless when that has been done.
function server:stop()
  if not self.process then return end
  self.input:close()
  assert(sockets.turn_until(function() return self.exited end), "PostgreSQL's keeper does not end")
  self.output:close()
  self.process:close()
  self.process = nil
  uv.run "nowait"
end

local function make_data(self, runner)
  local password = self.folder .. "/password"
  local file = assert(io.open(password, "w"))
  file:write(postgres.password, "\n")
  file:close()
  if runner.uid then
    assert(uv.fs_chown(self.folder, runner.uid, runner.gid))
    assert(uv.fs_chown(password, runner.uid, runner.gid))
  end
  shell.must_run("cd / && %s%sinitdb -D '%s/data' -U %s --pwfile='%s' --auth-host=scram-sha-256 "
    .. "--auth-local=trust -E UTF8 --no-locale --no-sync --no-instructions", runner.prefix,
    self.programs, self.folder, postgres.user, password)
  os.remove(password)
end

--- Start the keeper, which knows how to start the server.
local function keep(self, runner, settings)
  local arguments = { "-c", KEEPER, "sh", self.folder, self.programs .. "postgres", "-D",
    self.folder .. "/data" }
  for name, value in pairs(settings) do
    arguments[#arguments + 1] = "-c"
    arguments[#arguments + 1] = ("%s=%s"):format(name, value)
  end
  self.input, self.output = uv.new_pipe(false), uv.new_pipe(false)
  local process, pid = uv.spawn("sh", { args = arguments, uid = runner.uid, gid = runner.gid,
    cwd = self.folder, detached = true, stdio = { self.input, self.output } },
    function() self.exited = true end)
  if not process then error("cannot start a shell: " .. pid) end
  self.process, self.pid, self.exited = process, pid, false
  self.output:read_start(function(_, bytes) self.said = (self.said or "") .. (bytes or "") end)
  process:unref() -- a spec's own uv.run must not wait for us
  self.output:unref()
end

local function make(options)
  local folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/postgres-XXXXXX"))
  local self = setmetatable({ folder = folder, programs = programs(), databases = 0,
    port = sockets.free_port() }, server)
  local safely = options.fsync and "on" or "off"
  local settings = { listen_addresses = "127.0.0.1", port = self.port, fsync = safely,
    unix_socket_directories = folder, full_page_writes = safely, shared_buffers = "16MB",
    max_connections = "50" }
  for name, value in pairs(options.settings or {}) do settings[name] = value end
  local runner = who()
  make_data(self, runner)
  keep(self, runner, settings)
  return self
end

--- Start a server.
---@param options { fsync: boolean?, settings: table<string, string>? }?
---@return spec.postgres
function postgres.start(options)
  local last
  for _ = 1, ATTEMPTS do
    local self = make(options or {})
    local fine, why = pcall(self.up, self)
    if fine then return self end
    self:stop()
    last = tostring(why)
    if not last:find("Address already in use", 1, true) then break end
  end
  error(last, 0)
end

return postgres
