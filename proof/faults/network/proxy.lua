--- A TCP proxy on luv that does to connections what a bad network does: the eight toxics of
--- toxiproxy, and answers whose heads were tampered with. A route is a listener of its own, so what
--- is done to one client is done to nobody else.
---
--- Toxics of one direction, `down` (towards the client) or `up`:
---   latency, jitter   seconds that every byte takes longer, and how much that varies
---   rate              bytes in a second
---   slice, every      at most so many bytes in one piece, and the seconds between two pieces
---   limit, ends       after so many bytes the connection ends: "fin", "rst", or "gone", which is
---                     FIN, and then RST to whatever is still said
---   drop              nothing passes
---   slow_close        seconds by which the end of the connection is delayed
---   length, flood     the answer announces so many bytes more; has so many more of headers
--- And of a connection as a whole:
---   timeout, reset    after so many seconds it ends, by FIN or by RST
---
--- `refuse` takes a route's listener away; `first` leaves all but the first connection in peace.

local uv = require "luv"

local proxy = {}

local function now() return uv.hrtime() / 1e9 end

-- One direction of a connection ------------------------------------------------------------

local link = {}
link.__index = link

local function new_link(pair, from, to, toxics)
  return setmetatable({
    pair = pair, from = from, to = to, toxics = toxics, queue = {}, first = 1, last = 0,
    offered = 0, passed = 0, pieces = 0, timer = uv.new_timer(),
  }, link)
end

--- A head that announces another length, or has more headers than anybody wants.
local function tamper(toxics, head)
  if toxics.length then
    head = head:gsub("(Content%-Length: )(%d+)", function(name, digits)
      return name .. ("%d"):format(tonumber(digits) + toxics.length)
    end)
  end
  if toxics.flood then
    local lines, line = {}, "x-flood: " .. ("f"):rep(1013) .. "\r\n"
    for i = 1, math.ceil(toxics.flood / #line) do lines[i] = line end
    head = head:gsub("\r\n", "\r\n" .. table.concat(lines), 1)
  end
  return head
end

--- Bytes arrived from the one side.
function link:take(bytes)
  self.offered = self.offered + #bytes
  if self.records then self.records:feed(bytes) end
  if self.cut or self.toxics.drop then return end
  if (self.toxics.length or self.toxics.flood) and not self.tampered then
    bytes = (self.head or "") .. bytes
    local head, rest = bytes:match("^(.-\r\n\r\n)(.*)$")
    self.head = bytes
    if not head then return end
    self.tampered, bytes = true, tamper(self.toxics, head) .. rest
  end
  self.last = self.last + 1
  self.queue[self.last] = { bytes = bytes, at = now() }
  self:pump()
end

--- The next piece of what waits, and for how long it has to wait.
function link:piece()
  local entry, toxics = self.queue[self.first], self.toxics
  if not entry then return nil end
  local piece = entry.bytes
  if toxics.slice and #piece > toxics.slice then
    piece, entry.bytes = piece:sub(1, toxics.slice), piece:sub(toxics.slice + 1)
  else
    self.queue[self.first], self.first = nil, self.first + 1
  end
  local late = toxics.latency or 0
  if toxics.jitter then late = late + toxics.jitter * (2 * math.random() - 1) end
  local wait = math.max(0, entry.at + late - now()) + (toxics.every or 0)
  if toxics.rate then wait = wait + #piece / toxics.rate end
  return piece, wait
end

function link:later(seconds, f)
  self.busy = true
  self.timer:start(math.ceil(seconds * 1000), 0, function()
    self.busy = false
    f()
  end)
end

--- Sends what waits, a piece when the last has left us.
function link:pump()
  if self.busy or self.over or self.pair.route.held then return end
  if self.to:is_closing() then self:forget() end
  local piece, wait = self:piece()
  if not piece then
    if self.ended then self:finish() end
  elseif wait > 0 then
    self:later(wait, function() self:send(piece) end)
  else
    self:send(piece)
  end
end

function link:send(piece)
  local limit = self.toxics.limit
  if limit and self.passed + #piece >= limit then
    piece, self.cut = piece:sub(1, limit - self.passed), true
  end
  self.passed, self.pieces = self.passed + #piece, self.pieces + 1
  local function sent()
    self.busy = false
    if self.cut then
      self:forget()
      self.pair:cut(self.toxics.ends)
    end
    self:pump()
  end
  self.busy = true
  if piece == "" or self.to:is_closing() or not self.to:write(piece, sent) then sent() end
end

function link:forget()
  self.queue, self.first, self.last = {}, 1, 0
end

--- The one side will send no more.
function link:close()
  self.ended = true
  self:pump()
end

--- And all of it has been sent on.
function link:finish()
  if self.over then return end
  local function done()
    self.over = true
    self.pair:shut(self.to)
    self.pair:look()
  end
  if self.toxics.slow_close then self:later(self.toxics.slow_close, done) else done() end
end

-- A connection -----------------------------------------------------------------------------

local pair = {}
pair.__index = pair

local PEACE = { up = {}, down = {} }

local function close(handle)
  if not handle:is_closing() then handle:close() end
end

--- Both directions are over: so is the connection.
function pair:look()
  if self.gone or not (self.up.over and self.down.over) then return end
  self.gone = true
  for _, handle in ipairs { self.client, self.server, self.up.timer, self.down.timer,
    self.timer } do close(handle) end
  self.route.open = self.route.open - 1
end

--- Tells one side that no more will come, if it is there to be told.
function pair:shut(side)
  local absent = side == self.server and not self.connected
    or side == self.client and self.ended_by
  if not absent and not side:is_closing() then side:shutdown() end
end

--- Ends the client's side. What it still says goes on to the other side, whose end we wait for: so
--- when a connection is gone, nothing of it is under way any more.
function pair:cut(how)
  if self.ended_by then return end
  self.down.cut, self.ended_by = true, how
  if how == "gone" then
    close(self.client)
    self.up:close()
  elseif how == "rst" then
    self.up:close()
    if not self.client:is_closing() and not self.client:close_reset() then self.client:close() end
  elseif not self.client:is_closing() then
    self.client:shutdown()
  end
end

--- The client has what it wanted.
function pair:leave()
  self.ended_by, self.down.cut = self.ended_by or "us", true
  self.up:close()
  close(self.client)
end

function pair:start()
  self.connected = true
  if self.up.over then self:shut(self.server) end -- it was cut before there was a server
  if not self.client:is_closing() then
    self.client:read_start(function(err, bytes)
      if bytes then return self.up:take(bytes) end
      if err then self.down.cut = true end
      self.up:close()
    end)
  end
  self.server:read_start(function(err, bytes)
    if bytes then return self.down:take(bytes) end
    if err and not self.down.cut then self:cut "rst" end
    self.down:close()
  end)
end

--- Carries a connection that was accepted to the port `upstream`.
local function carry(route, client, upstream, toxics, log, first_bytes)
  local self = setmetatable({ route = route, client = client, server = uv.new_tcp(),
    timer = uv.new_timer() }, pair)
  toxics = toxics or PEACE
  self.up = new_link(self, client, self.server, toxics.up or {})
  self.down = new_link(self, self.server, client, toxics.down or {})
  log.up, log.down, log.pair = self.up, self.down, self
  route.open = route.open + 1
  route.pairs[#route.pairs + 1] = self
  client:nodelay(true)
  if toxics.timeout or toxics.reset then
    self.timer:start(math.ceil((toxics.timeout or toxics.reset) * 1000), 0, function()
      if not self.gone then self:cut(toxics.reset and "rst" or "fin") end
    end)
  end
  self.server:connect("127.0.0.1", upstream, function(err)
    if err then
      self.up.over, self.down.over = true, true
      return self:look()
    end
    self.server:nodelay(true)
    if first_bytes and first_bytes ~= "" then self.up:take(first_bytes) end
    self:start()
    if log.connected then log.connected(self.server) end
  end)
  return self
end

-- TLS records ------------------------------------------------------------------------------

local records = {}
records.__index = records

local ALERT, DATA = 21, 23
local CLOSE_NOTIFY = 19 -- bytes of the record, encrypted by TLS 1.3
local AROUND = 17       -- bytes that TLS 1.3 adds to what a record of data carries

--- Reads along: how many records of data there were and what they carried, however it was divided
--- among them, and where the last one ended that was more than a farewell.
local function new_records()
  return setmetatable({ buffer = "", offset = 0, data = 0, carried = 0, whole = 0 }, records)
end

function records:feed(bytes)
  self.buffer = self.buffer .. bytes
  while #self.buffer >= 5 do
    local kind, size = self.buffer:byte(1), (">I2"):unpack(self.buffer, 4)
    if #self.buffer < 5 + size then return end
    self.buffer, self.offset = self.buffer:sub(6 + size), self.offset + 5 + size
    if kind == DATA then self.data = self.data + 1 end
    self.farewell = kind == ALERT or kind == DATA and size == CLOSE_NOTIFY
    if not self.farewell then
      self.whole = self.offset
      if kind == DATA then self.carried = self.carried + size - AROUND end
    end
  end
end

-- Routes -----------------------------------------------------------------------------------

---@class proof.route
---@field port integer where the client connects to
---@field open integer connections that are not gone yet
---@field log table[] what was seen of each connection: `wire` and `plain`, two directions each
local route = {}
route.__index = route

--- Lets nothing pass, until `release`.
function route:hold() self.held = true end

function route:release()
  self.held = false
  for _, each in ipairs(self.pairs) do
    each.up:pump()
    each.down:pump()
  end
end

--- From now on these are the toxics inside, for connections that are there too.
function route:turn(toxics)
  self.plain = toxics
  for _, each in ipairs(self.pairs) do
    local down = {}
    for name, value in pairs(toxics.down) do down[name] = value end
    if down.limit then down.limit = down.limit + each.down.passed end
    if not (self.https and each.outermost) then each.down.toxics = down end
  end
end

--- From now on nothing is done to connections that begin.
function route:heal() self.wire, self.plain = nil, nil end

--- No new connections, and an end to those that a client keeps although it has no use for them.
--- What was on its way to the service still arrives.
function route:close()
  if self.listener then close(self.listener) end
  self.listener = nil
  for _, each in ipairs(self.pairs) do
    if each.outermost and not each.gone then each:leave() end
  end
end

local function toxics_for(self, layer, number)
  if self.first and number > 1 then return nil end
  return self[layer]
end

---@class proof.proxy
---@field service integer the port of the service
---@field tls? integer the port of the TLS end in front of `inner`
---@field inner integer the port where what has been decrypted comes back to us
local network = {}
network.__index = network

--- Opens a way to the service, over TLS if `options.https`. The toxics in `wire` are done to the
--- bytes on the wire, those in `plain` to what they mean; without TLS that is the same.
---@param options { https?: boolean, wire?: table, plain?: table, first?: boolean,
---  refuse?: boolean }
---@return proof.route
function network:route(options)
  local new = setmetatable({ open = 0, log = {}, pairs = {}, https = options.https,
    first = options.first, wire = options.wire, plain = options.plain }, route)
  local listener = uv.new_tcp()
  assert(listener:bind("127.0.0.1", 0))
  new.listener, new.port = listener, listener:getsockname().port
  if options.refuse then return new end -- bound, so that nobody else listens there
  assert(listener:listen(64, function()
    local client, log = uv.new_tcp(), { wire = {}, plain = {} }
    if not listener:accept(client) then return client:close() end
    local number = #new.log + 1
    new.log[number] = log
    if not options.https then
      log.wire = log.plain
      local toxics = toxics_for(new, "plain", number)
        or toxics_for(new, "wire", number)
      carry(new, client, self.service, toxics, log.plain).outermost = true
      return
    end
    function log.wire.connected(server)
      self.coming[server:getsockname().port] = { route = new, number = number,
        log = log.plain }
    end
    local carried = carry(new, client, self.tls, toxics_for(new, "wire", number),
      log.wire)
    carried.outermost = true
    carried.up.records, carried.down.records = new_records(), new_records()
  end))
  return new
end

--- What came out of the TLS end begins with a line that says which connection it is.
local function accept_inner(self)
  local client, got = uv.new_tcp(), ""
  if not self.listener:accept(client) then return client:close() end
  client:read_start(function(_, bytes)
    if not bytes then return client:close() end
    got = got .. bytes
    local port, rest = got:match("^PROXY TCP4 %S+ %S+ (%d+) %d+\r\n(.*)$")
    if not port then return end
    client:read_stop()
    local known = assert(self.coming[tonumber(port)], "a connection came from nowhere")
    self.coming[tonumber(port)] = nil
    carry(known.route, client, self.service, toxics_for(known.route, "plain", known.number),
      known.log, rest)
  end)
end

--- Makes a network in front of the service at a port.
---@param service integer
---@return proof.proxy
function proxy.network(service)
  local self = setmetatable({ service = service, coming = {}, listener = uv.new_tcp() }, network)
  assert(self.listener:bind("127.0.0.1", 0))
  assert(self.listener:listen(1024, function() accept_inner(self) end))
  self.inner = self.listener:getsockname().port
  return self
end

function network:close()
  close(self.listener)
end

return proxy
