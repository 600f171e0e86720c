--- sockets: turns luv's loop for a spec, and does in it what specs do with the ports of servers.

local uv = require "luv"

local sockets = {}

local PATIENCE = 10 -- seconds for a server to start, to answer or to stop

--- Turns luv's loop until `done()` is true; false if that takes longer than `PATIENCE`.
function sockets.turn_until(done)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  local tick = uv.new_timer()
  tick:start(0, 5, function() end) -- so that a turn of the loop ends soon
  while not done() and uv.hrtime() < deadline do uv.run("once") end
  tick:close()
  uv.run("nowait")
  return done()
end

--- A port of 127.0.0.1 that nobody listened at a moment ago.
function sockets.free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  uv.run("nowait")
  return port
end

--- Does somebody listen there?
function sockets.accepts(port)
  local socket, answer = uv.new_tcp(), nil
  socket:connect("127.0.0.1", port, function(err) answer = err or "yes" end)
  sockets.turn_until(function() return answer end)
  socket:close()
  uv.run("nowait")
  return answer == "yes"
end

--- Sends a GET. What it returns fills itself while luv's loop turns: `text` is what came, `done` that
--- the server has closed the connection; `leave()` closes it from here.
---@param port integer
---@param path string
---@return { text: string, done: boolean, leave: fun() }
function sockets.get(port, path)
  local socket, answer = uv.new_tcp(), { text = "", done = false }
  function answer.leave()
    answer.done = true
    if not socket:is_closing() then socket:close() end
  end
  socket:connect("127.0.0.1", port, function(err)
    if err then return answer.leave() end
    socket:write(("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n"):format(path))
    socket:read_start(function(problem, bytes)
      if problem or not bytes then return answer.leave() end
      answer.text = answer.text .. bytes
    end)
  end)
  return answer
end

return sockets
