--- wire: a server that says just the bytes it is told, as many as it is told, to whoever asks; or
--- stands between a client and a real server and lets only so many bytes through. It counts what
--- left and keeps what came. It runs in a process of its own, since a spec waits in its own calls.
---
---   local wire = require("support.wire").start { head = "HTTP/1.1 200 OK\r\n", filler = "X: y\r\n" }

local cjson = require "cjson"
local uv = require "luv"

local wire = {}

local CHUNK = 64 * 1024 -- bytes that are written at a time

---@class spec.wire.options
---@field address? string   # to listen at: "127.0.0.1"
---@field head? string      # said once the head of a request has come; PATH in it is the end of what was asked for
---@field filler? string    # said again and again after that
---@field most? number      # until so many bytes of it have left; none by default
---@field tail? string      # said in the end
---@field keep? boolean     # the connection stays open then
---@field upstream? integer # instead: what a client says goes to this port here, and back
---@field limit? integer    # so many bytes of what comes back, then both are closed

-- The process ------------------------------------------------------------------------------

local function answer(socket, given, seen, request)
  local path = request:match("^%S+ %S*/(%S*)") or ""
  local chunk = given.filler and given.filler:rep(math.ceil(CHUNK / #given.filler)) or ""
  local sent = 0
  local function finish()
    socket:write(given.tail or "", function()
      if not given.keep and not socket:is_closing() then socket:close() end
    end)
  end
  local function go_on(err)
    if err or socket:is_closing() then return end
    if not given.filler or sent >= given.most then return finish() end
    sent, seen.sent = sent + #chunk, seen.sent + #chunk
    socket:write(chunk, go_on)
  end
  socket:write(((given.head or ""):gsub("PATH", { PATH = path })), go_on)
end

local function converse(socket, given, seen)
  local got = ""
  socket:read_start(function(err, bytes)
    if err or not bytes then
      if not socket:is_closing() then socket:close() end
      return
    end
    got = got .. bytes
    local _, last = got:find("\r\n\r\n", 1, true)
    if last then
      seen.requests[#seen.requests + 1] = got
      answer(socket, given, seen, got)
      got = ""
    end
  end)
end

local function relay(socket, given, seen)
  local other, passed = uv.new_tcp(), 0
  local function over()
    for _, each in ipairs { socket, other } do
      if not each:is_closing() then each:close() end
    end
  end
  other:connect("127.0.0.1", given.upstream, function()
    socket:read_start(function(err, bytes)
      if err or not bytes then return over() end
      other:write(bytes)
    end)
    other:read_start(function(err, bytes)
      if err or not bytes then return over() end
      bytes = bytes:sub(1, given.limit - passed)
      passed, seen.sent = passed + #bytes, seen.sent + #bytes
      socket:write(bytes, function()
        if passed >= given.limit then over() end
      end)
    end)
  end)
end

local function listen(given)
  local seen = { connections = 0, sent = 0, requests = {} }
  local listener = uv.new_tcp()
  given.most = given.most or math.huge
  assert(listener:bind(given.address, 0))
  assert(listener:listen(128, function()
    local socket = uv.new_tcp()
    listener:accept(socket)
    seen.connections = seen.connections + 1;
    (given.upstream and relay or converse)(socket, given, seen)
  end))
  seen.port = listener:getsockname().port
  return seen
end

--- The process: serves until its standard input ends. The first line there is what it is to do, as
--- JSON; to each one it says what it has seen.
function wire.serve()
  local input, output, line, seen = uv.new_pipe(false), uv.new_pipe(false), "", nil
  uv.new_signal():start("sigint", function() end) -- when to end is for the spec to say
  uv.new_signal():start("sigpipe", function() end)
  input:open(0)
  output:open(1)
  input:read_start(function(_, bytes)
    if not bytes then os.exit(0) end
    line = line .. bytes
    if line:sub(-1) ~= "\n" then return end -- one comes at a time
    seen = seen or listen(cjson.decode(line))
    line = ""
    output:write(cjson.encode(seen) .. "\n")
  end)
  uv.run()
end

-- The handle -------------------------------------------------------------------------------

---@class spec.wire
---@field url string
---@field port integer
local handle = {}
handle.__index = handle

local function ask(self, text)
  text = text .. "\n"
  repeat text = text:sub(assert(uv.fs_write(self.command, text, -1)) + 1) until text == ""
  local line = ""
  repeat
    local bytes = assert(uv.fs_read(self.answers, CHUNK, -1))
    assert(bytes ~= "", "the wire has ended")
    line = line .. bytes
  until line:sub(-1) == "\n"
  return cjson.decode(line)
end

--- What it has seen: { connections =, sent = (bytes of filler), requests = (raw heads) }.
---@return { connections: integer, sent: number, requests: string[] }
function handle:seen()
  return ask(self, "")
end

--- Ends it and waits until it is gone.
function handle:stop()
  if not self.command then return end
  uv.fs_close(self.command)
  self.command = nil
  uv.fs_close(self.unread)
  while not self.exited do uv.run("once") end
  uv.fs_close(self.answers)
  uv.run("nowait")
end

---@param given spec.wire.options
---@return spec.wire
function wire.start(given)
  local options = { address = "127.0.0.1" }
  for name, value in pairs(given) do options[name] = value end
  local self = setmetatable({}, handle)
  local commands, answers = assert(uv.pipe({}, {})), assert(uv.pipe({}, {}))
  local code = ("package.path, package.cpath = %q, %q require('support.wire').serve()")
    :format(package.path, package.cpath)
  self.process = assert(uv.spawn(uv.exepath(), { args = { "-e", code },
    stdio = { commands.read, answers.write, 2 } }, function()
    self.exited = true
    self.process:close()
  end))
  uv.fs_close(answers.write)
  -- Our copy of the end that the process reads: without a reader, a write is a SIGPIPE.
  self.unread, self.command, self.answers = commands.read, commands.write, answers.read
  self.port = math.floor(ask(self, cjson.encode(options)).port) -- cjson knows no integers
  self.url = ("http://%s:%d"):format(options.address, self.port)
  return self
end

return wire
