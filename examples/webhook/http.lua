-- Receives webhooks with lua-http, a server on cqueues, and prints what they say. (Debian packages it for
-- Lua 5.1 and 5.2; LuaRocks has it for all.)
--
--   AKOOL_CLIENT_ID=… AKOOL_CLIENT_SECRET=… lua5.1 examples/webhook/http.lua 8080
--
-- It answers http://127.0.0.1:8080/akool; in front of it belongs TLS: see docs/webhooks.md.

local http_headers = require "http.headers"
local http_server = require "http.server"
local webhook = require "akool.lipsync.webhook"

local BODY_MAX = 64 * 1024
local SECONDS = 10

local receive = assert(webhook.handler {})

--- The status of the answer to a request, and the event that it brought.
local function take(stream)
  local head = assert(stream:get_headers(SECONDS))
  if head:get ":path" ~= "/akool" then return 404 end
  if head:get ":method" ~= "POST" then return 405 end
  return receive(stream:get_body_chars(BODY_MAX, SECONDS) or "")
end

local server = assert(http_server.listen {
  host = "127.0.0.1",
  port = tonumber(arg[1] or 8080),
  onstream = function(_, stream)
    local status, event = take(stream)
    local head = http_headers.new()
    head:append(":status", ("%d"):format(status))
    assert(stream:write_headers(head, true, SECONDS))
    if event and event.status then
      print(event.id, event.status, event.video or "")
      io.flush()
    end
  end,
  onerror = function(_, _, what, err)
    io.stderr:write(what, ": ", tostring(err), "\n")
  end,
})
assert(server:listen())
assert(server:loop())
