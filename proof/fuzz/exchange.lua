-- exchange, the program's side: one call of each kind, as a program makes it. See exchange.c.

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"

local ID = "66160f989dc5e2c8a9dbb8fb"
local PARAMS = { video_url = "http://127.0.0.1/v.mp4", audio_url = "http://127.0.0.1/a.mp3" }
local VIDEO = "http://127.0.0.1/r.mp4?Signature=hidden"

local calls = {
  c = function(client) return client:create(PARAMS) end,
  i = function(client) return client:info(ID) end,
  b = function(client) return client:credits() end,
  w = function(client) return client:wait(ID) end,
  d = function(client, path)
    return client:download({ id = ID, status = "completed", video = VIDEO }, path)
  end,
}
calls.t = calls.i -- with a token that has to be fetched first

--- Make the call of that kind. `key` is the secret; a download goes to `path`.
---@return any value
---@return table? err
---@return table events
return function(kind, key, path)
  local events = {}
  local given = { base_url = "http://127.0.0.1", on_event = function(event)
    events[#events + 1] = event
  end }
  if kind == "t" then
    given.client_id, given.client_secret = "client", key
  else
    given.api_key = key
  end
  local client = assert(lipsync.new(given))
  local value, err = calls[kind](client, path)
  core.engine():close()
  return value, err, events
end
