-- webhooks: deliveries sealed, opened, answered and remembered. A good one is never called a bad one.

local tools = require "scenarios.tools"

local ACCOUNT = { client_id = "torture", client_secret = ("secret"):rep(4) }

--- What a program does that receives one delivery twice, and something that is none.
local function receive(body)
  local webhook = require "akool.lipsync.webhook"
  local handle, err = webhook.handler(ACCOUNT)
  if not handle then return nil, err end
  local event, known
  local status
  status, event = handle(body)
  if status ~= 200 then return nil, event end
  status, known = handle(body)
  if known.name ~= "webhook_repeated" then return nil, known end
  assert(status == 200 and known.job.id == event.id)
  status, err = handle(body:gsub("nonce", "once"))
  assert(status == 400 and err.name == "webhook_refused")
  return event
end

tools.scenario("webhooks", {
  prepare = function(context)
    local webhook = require "akool.lipsync.webhook"
    local given = { id = "torture", status = "completed", video = "https://example.com/out.mp4" }
    return {
      act = function()
        local body, err = webhook.seal(given, ACCOUNT)
        if not body then return nil, err end
        local event
        event, err = receive(body)
        if not event then assert(tools.is_about_memory(err.message), err.message) end
        return event, err
      end,
      expect = function(event) assert(event:job().video == given.video) end,
      afterwards = tools.ask_again(tools.new_client(context)),
    }
  end,
})
