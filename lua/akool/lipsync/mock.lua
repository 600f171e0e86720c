--- The service on this machine, for tests and first steps. `mock.start` runs it as a process of its
--- own and returns a handle; `mock.main` is the program. The handle talks to its process through
--- two pipes, with blocking reads and writes, so it needs no loop and works inside any host.
---
---   local service = assert(mock.start { manual_clock = true })
---   service:fail { at = "info", status = 503, retry_after = 2 }

local cjson = require "cjson"
local found, uv = pcall(require, "luv")
if not found then
  error("the mock service needs luv (Debian: lua-luv; LuaRocks: luv): " .. tostring(uv), 2)
end
local service = require "akool.lipsync.mock.service"

local mock = {}

local json = cjson.new()
local PIECE = 32 * 1024 -- fits into an empty pipe, so that a write never waits for a dead reader
local PATIENCE = 2      -- seconds for the process to end by itself, then after each signal

local OPTIONS = {
  api_key = "string", client_id = "string", client_secret = "string", queue = "number",
  process = "number", credits = "number", manual_clock = "boolean", files = "string",
  port = "number", lua = "string",
}

---@class akool.lipsync.mock.options
---@field api_key? string "mock-api-key"
---@field client_id? string "mock-client-id"
---@field client_secret? string "mock-client-secret-with-32-bytes"; webhooks need 16, 24 or 32
---@field queue? number seconds that a job stays in status 1 (0.5)
---@field process? number and then in status 2 (1.5)
---@field credits? number what the account has (1000; a job takes 20)
---@field manual_clock? boolean the service's time moves only by `advance`
---@field files? string a folder that is served under /files/
---@field port? integer a free one by default
---@field lua? string the interpreter to run it with

-- The pipes: one JSON document per line each way. A long line to the service comes in pieces; all
-- but the last begin with "+" and are answered with an empty line, the last begins with "=".

local function write_all(fd, text)
  while text ~= "" do
    local written, err, name = uv.fs_write(fd, text, -1)
    if written then
      text = text:sub(written + 1)
    elseif name ~= "EINTR" then
      return nil, err
    end
  end
  return true
end

-- The service says one line for each of ours, so nothing is left after the end of a line.
local function read_line(fd)
  local parts = {}
  repeat
    local bytes, err, name = uv.fs_read(fd, 2 * PIECE, -1)
    if bytes == "" or not bytes and name ~= "EINTR" then
      return nil, err or "the mock service has ended"
    end
    parts[#parts + 1] = bytes
  until bytes and bytes:sub(-1) == "\n"
  return table.concat(parts)
end

local function exchange(self, line)
  while true do
    local last = #line <= PIECE
    local piece, answer = (last and "=" or "+") .. line:sub(1, PIECE) .. "\n", nil
    local ok, err = write_all(self.pipes.command, piece)
    if ok then answer, err = read_line(self.pipes.answer) end
    if last or not answer then return answer, err end
    line = line:sub(PIECE + 1)
  end
end

-- Asks for a verb. What the service refuses is a mistake of our caller, and raised as his.
local function ask(self, verb, args)
  local ok, line = pcall(json.encode, { verb = verb, args = args or {} })
  if not ok then error(("%s: %s"):format(verb, line), 3) end
  if not self.pipes then return nil, "the mock service has been stopped" end
  local text, err = exchange(self, line)
  if not text then return nil, err end
  local answer = service.decode(text)
  if answer.error then error(("%s: %s"):format(verb, answer.error), 3) end
  return answer.result
end

-- The handle -------------------------------------------------------------------------------

--- Every method returns nil and a message once the process has ended.
---@class akool.lipsync.mock.handle
---@field url string "http://127.0.0.1:PORT"
---@field port integer
---@field pid integer
---@field api_key string
---@field client_id string
---@field client_secret string
local handle = {}
handle.__index = handle

--- Orders a fault: which requests (`at`, `skip`, `times`) and what goes wrong; see the keys in
--- `mock/faults.lua`. An order that makes no sense raises.
---@param order table
---@return integer? id
---@return string? err
function handle:fail(order)
  local id, err = ask(self, "fail", order) -- not a tail call: an error points at our caller
  return id, err
end

--- Forgets the faults that were ordered.
function handle:clear() return ask(self, "clear") end

--- Returns the requests received, in their order; `at` picks those of one endpoint.
---@param at? "create" | "info" | "token" | "credits" | "file" | "other"
---@return table[]?
---@return string? err
function handle:requests(at) return ask(self, "requests", { at = at }) end

--- Counts the requests that were received whole.
---@param at? string
---@return integer?
---@return string? err
function handle:count(at) return ask(self, "count", { at = at }) end

--- Returns the jobs with all their fields, as they are now.
---@return table[]?
---@return string? err
function handle:jobs() return ask(self, "jobs") end

--- Overwrites fields of a job. `bytes` makes its result so long.
---@param id string
---@param fields table
function handle:set(id, fields)
  local ok, err = ask(self, "set", { id = id, fields = fields })
  return ok, err
end

--- Posts a webhook at once, whatever the job's status is: to the webhookUrl of the job, or to `url`.
---@param event { id: string, status: string, video: string?, type: string?, url: string? }
---@return integer? n  # its number among the deliveries
---@return string? err
function handle:deliver(event)
  local n, err = ask(self, "deliver", event)
  return n, err
end

--- Returns the webhooks: what each tells, how often it was posted, the last answer, and its state:
--- "pending", "held", "delivered", "lost", or "unsealed" when the client secret cannot seal.
---@return table[]?
---@return string? err
function handle:deliveries() return ask(self, "deliveries") end

--- Moves the service's clock.
---@param seconds number
function handle:advance(seconds)
  local ok, err = ask(self, "advance", { seconds = seconds })
  return ok, err
end

--- Closes the listener and all connections: from now on connections are refused.
function handle:down() return ask(self, "down") end

--- Listens again, on the same port.
function handle:up() return ask(self, "up") end

--- Forgets jobs, requests and faults; connections and tokens stay.
function handle:reset() return ask(self, "reset") end

--- Makes all tokens issued so far invalid.
function handle:expire_tokens() return ask(self, "expire_tokens") end

--- Counts the TCP connections that are open.
---@return integer?
---@return string? err
function handle:connections() return ask(self, "connections") end

local function close_pipes(self)
  for _, fd in pairs(self.pipes) do uv.fs_close(fd) end
  self.pipes = nil
end

-- Turns the loop until the process has been reaped, by us or by a host that reaps all children.
local function gone(self)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  while not self.exited and uv.hrtime() < deadline do
    pcall(uv.run, "nowait")
    if not self.exited and not uv.kill(self.pid, 0) then self.exited = true end
    if not self.exited then uv.sleep(1) end
  end
  return self.exited
end

--- Ends the process and waits until it is gone. Harmless when that has been done.
---@return boolean? ok
---@return string? err
function handle:stop()
  if not self.pipes then return true end
  local answer = self.pipes.answer
  self.pipes.answer = nil
  close_pipes(self)
  if uv.loop_mode() then -- the loop is running us and cannot be turned: it will reap, later
    uv.kill(self.pid, "sigkill")
    repeat until not read_line(answer)
  else
    if not self.exited then self.process:ref() end
    local _ = gone(self) or uv.kill(self.pid, "sigterm") and gone(self)
      or uv.kill(self.pid, "sigkill") and gone(self)
    if not self.process:is_closing() then self.process:close() end
    pcall(uv.run, "nowait") -- ends the closing
  end
  uv.fs_close(answer)
  if not self.exited and not uv.loop_mode() then return nil, "the mock service does not end" end
  return true
end

-- Starting ---------------------------------------------------------------------------------

-- Which interpreter runs the process, and what makes it find the same modules as we do.
local function command(lua)
  local ours = uv.exepath()
  local program = lua or ours:match("[^/\\]*$"):find("^lua[jit%d.%-]*") and ours
    or os.getenv("LUA") or "lua5.4"
  local setup
  if program == ours then
    setup = ("package.path, package.cpath = %q, %q"):format(package.path, package.cpath)
  else
    local root = debug.getinfo(1, "S").source:match("^@(.*)akool[/\\]lipsync[/\\]mock%.lua$")
    setup = ("package.path = %q .. package.path"):format((root or "lua/") .. "?.lua;")
  end
  return program, { "-e", setup .. " require('akool.lipsync.mock').serve_pipes()" }
end

local function spawn(self, lua)
  -- uv.pipe makes descriptors that no other child inherits.
  local commands, answers = assert(uv.pipe({}, {})), assert(uv.pipe({}, {}))
  local program, args = command(lua)
  -- We keep our copy of the end that the service reads: without a reader, a write is a SIGPIPE.
  self.pipes = { command = commands.write, unread = commands.read, answer = answers.read }
  local stdio = { commands.read, answers.write, 2 }
  local process, pid = uv.spawn(program, { args = args, stdio = stdio }, function()
    self.exited = true
    self.process:close()
  end)
  uv.fs_close(answers.write)
  if not process then
    close_pipes(self)
    return nil, ("cannot run %s: %s"):format(program, pid)
  end
  process:unref() -- the host's loop must be able to end without us
  self.process, self.pid, self.exited = process, pid, false
  return true
end

local function check(options)
  for name, value in pairs(options) do
    local wanted = OPTIONS[name]
    if not wanted then error(("mock.start has no option %q"):format(tostring(name)), 3) end
    if type(value) ~= wanted then error(("option %s must be a %s"):format(name, wanted), 3) end
    if wanted == "number" and (value < 0 or value ~= value) then
      error(("option %s must not be negative"):format(name), 3)
    end
  end
end

--- Starts the service in a process of its own. It ends with `stop`, or when we end.
---@param options? akool.lipsync.mock.options
---@return akool.lipsync.mock.handle?
---@return string? err
function mock.start(options)
  options = options or {}
  if type(options) ~= "table" then
    error("mock.start: a table of options expected, got " .. type(options), 2)
  end
  check(options)
  local self = setmetatable({}, handle)
  local ok, err = spawn(self, options.lua)
  if not ok then return nil, err end
  local asked, answer, why = pcall(ask, self, "start", options)
  if not asked or not answer then
    self:stop()
    return nil, "the mock service did not start: " .. tostring(why or answer)
  end
  for name, value in pairs(answer) do self[name] = value end
  return self
end

-- The process ------------------------------------------------------------------------------

local function about(running)
  local rules = running.service
  return {
    url = running.url, port = running.port, api_key = rules.api_key,
    client_id = rules.client_id, client_secret = rules.client_secret,
  }
end

--- The other end of the pipes: runs the service until its standard input ends.
function mock.serve_pipes()
  local server = require "akool.lipsync.mock.server"
  local input, output = uv.new_pipe(false), uv.new_pipe(false)
  local running, buffer, line = nil, "", ""
  local function obey(text)
    local asked = service.decode(text)
    local result, err
    if asked.verb == "start" then
      running, err = server.serve(asked.args)
      result = running and about(running)
    else
      result, err = running:control(asked.verb, asked.args)
    end
    return json.encode { result = result, error = result == nil and (err or "failed") or nil }
  end
  local function take(piece)
    line = line .. piece:sub(2)
    if piece:sub(1, 1) == "+" then return output:write("\n") end
    local whole = line
    line = ""
    output:write(obey(whole) .. "\n")
  end
  -- A terminal interrupts its whole group; when we end is for the one who started us to say.
  uv.new_signal():start("sigint", function() end)
  input:open(0)
  output:open(1)
  input:read_start(function(_, bytes)
    if not bytes then
      if running then running:control("down", {}) end -- no connection outlives the last answer
      os.exit(0)
    end
    buffer = buffer .. bytes
    if buffer:sub(-1) ~= "\n" then return end -- one line comes at a time
    local piece = buffer:sub(1, -2)
    buffer = ""
    take(piece)
  end)
  uv.run()
end

--- The number in a text, if it is one that any option takes.
local function amount(text)
  local number = tonumber(text)
  return number and number >= 0 and number or nil
end

local FLAGS = { -- name of the option, and how its value is read; none for a switch
  ["--port"] = { "port", amount }, ["--api-key"] = { "api_key", tostring },
  ["--client-id"] = { "client_id", tostring },
  ["--client-secret"] = { "client_secret", tostring },
  ["--queue"] = { "queue", amount }, ["--process"] = { "process", amount },
  ["--credits"] = { "credits", amount }, ["--files"] = { "files", tostring },
  ["--manual-clock"] = { "manual_clock" },
}
local USAGE = "usage: akool-lipsync-mock [--port N] [--api-key KEY] [--client-id ID] "
  .. "[--client-secret SECRET]\n  [--queue SECONDS] [--process SECONDS] [--credits N] "
  .. "[--files FOLDER] [--manual-clock]\n"

local function read_flags(argv)
  local options, i = {}, 1
  while argv[i] do
    local flag = FLAGS[argv[i]]
    if not flag then return nil, "there is no option " .. argv[i] end
    local name, read = flag[1], flag[2]
    if read and not argv[i + 1] then return nil, argv[i] .. " needs a value" end
    local value = not read or read(argv[i + 1])
    if not value then
      return nil, ("%s needs a number from 0 on, not %q"):format(argv[i], argv[i + 1])
    end
    options[name], i = value, i + (read and 2 or 1)
  end
  local folder = options.files and uv.fs_stat(options.files)
  if options.files and not (folder and folder.type == "directory") then
    return nil, options.files .. " is not a folder"
  end
  return options
end

--- The program `akool-lipsync-mock`: serves until it is interrupted.
---@param argv string[]
---@return integer status for the shell
function mock.main(argv)
  if argv[1] == "--help" or argv[1] == "-h" then
    io.write(USAGE)
    return 0
  end
  local options, err = read_flags(argv)
  if not options then
    io.stderr:write("akool-lipsync-mock: ", err, "\n", USAGE)
    return 2
  end
  local running
  running, err = require("akool.lipsync.mock.server").serve(options)
  if not running then
    io.stderr:write("akool-lipsync-mock: ", err, "\n")
    return 1
  end
  local rules = running.service
  io.write("akool-lipsync mock service on ", running.url, "\n",
    "Let a client use it with\n  export AKOOL_BASE_URL=", running.url, " AKOOL_API_KEY=",
    rules.api_key, "\nor get a token for the client id ", rules.client_id,
    " and the client secret ", rules.client_secret, ".\n")
  io.flush()
  for _, name in ipairs { "sigint", "sigterm" } do
    uv.new_signal():start(name, function() uv.stop() end)
  end
  uv.run()
  return 0
end

return mock
