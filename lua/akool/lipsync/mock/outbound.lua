--- Requests that the mock service itself makes, over plain http: for the film of a job, and to tell a
--- program that a job has come on.

local uv = require "akool.lipsync.uv"

local outbound = {}

---@class akool.lipsync.mock.outbound
---@field head string      # with %s for the path and for the host
---@field body? string
---@field seconds number   # that it may take
---@field bytes integer    # that the answer may have
---@field enough? string   # a pattern: there it is known, without it at its end

--- Sends a request to any plain http address; done(answer), or done() if that did not work.
---@param url string
---@param request akool.lipsync.mock.outbound
---@param done fun(answer: string?)
function outbound.send(url, request, done)
  local host, port, path = url:match("^http://([^/:?#]+):?(%d*)([^#]*)")
  if not host then return done() end
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
  local socket, timer, parts, size = uv.new_tcp(), uv.new_timer(), {}, 0
  local function finish(ended)
    if timer:is_closing() then return end
    timer:close()
    socket:close()
    done(ended and table.concat(parts) or nil)
  end
  timer:start(math.floor(request.seconds * 1000), 0, function() finish(false) end)
  local function read(err, bytes)
    if err or not bytes then return finish(not err) end
    parts[#parts + 1], size = bytes, size + #bytes
    if size > request.bytes then return finish(false) end
    if request.enough and table.concat(parts):find(request.enough) then finish(true) end
  end
  local function ask(err)
    if err then return finish(false) end
    socket:write(request.head:format(path, host) .. (request.body or ""))
    socket:read_start(read)
  end
  local hints = { family = "inet", socktype = "stream" }
  uv.getaddrinfo(host, port ~= "" and port or "80", hints, function(err, found)
    if timer:is_closing() then return end
    if err or not found[1] then return finish(false) end
    socket:connect(found[1].addr, found[1].port, ask)
  end)
end

return outbound
