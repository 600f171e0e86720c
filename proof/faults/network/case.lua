--- One call over one route: makes it, waits until nothing of it is under way, and says how it
--- ended: "right", the name of a typed error, or, when that may not be, a complaint.

local calls = require "network.calls"
local core = require "akool.lipsync.core"

---@class proof.outcome
---@field word string "right" or the error's name
---@field value any
---@field err? table
---@field name? string of a create, for the judge
---@field took number seconds

-- One repetition: what an answer had too much may come late, when its connection is in use again,
-- and nobody can tell by then whose it is.
local AT_EASE = { connect_timeout = 10, timeout = 10, max_retries = 1 }
local LATE = 15 -- seconds after a deadline until we say that it was missed, on any machine

local function complain(outcome, text, ...)
  outcome.complaint = outcome.complaint or text:format(...)
end

--- Is this an error as the documentation describes it?
local function check_error(outcome)
  local err = outcome.err
  if type(err) ~= "table" or type(err.kind) ~= "string" or type(err.name) ~= "string" then
    return complain(outcome, "an error without a type: %s", tostring(err))
  end
  if tostring(err):find("proof%-") then complain(outcome, "the error tells a secret") end
  outcome.word = err.name
end

--- Could the service have got any of it? Not over TLS while the handshake was not over, which we
--- know from what the client said up to its end, and not without a connection.
local function certainly_absent(route, connections)
  for i = 1, connections do
    local log = route.log[i]
    local wire = log.wire
    local known = route.https and wire.up and wire.up.records
      and log.wire.pair.ended_by ~= "rst"
    if not known or wire.up.records.data > 0 then return false end
  end
  return true
end

--- After all that, over a network that is well again, the same client works as if nothing had been.
local function look_afterwards(s, outcome)
  outcome.route:heal()
  local job, err = outcome.client:info(s.job.id, AT_EASE)
  local what = job and calls.info.wrong(s, job) or not job and tostring(err)
  if what then complain(outcome, "afterwards an info ended with %s", what) end
end

--- Makes the call and waits for the end of its connections.
---@param s proof.scene
---@param call proof.call
---@param given { https?: boolean, wire?: table, plain?: table, first?: boolean, refuse?: boolean,
---  options?: table, deadline?: number, expect?: table<string, boolean>,
---  wrong?: fun(s: proof.scene, value: any): string?, afterwards?: boolean }
---@return proof.outcome
local function run(s, call, given)
  local route = s.network:route(given)
  local options = {}
  for name, value in pairs(call.options) do options[name] = value end
  for name, value in pairs(given.options or {}) do options[name] = value end
  local client = s:client(route, options)
  local outcome, began = { word = "right", route = route, client = client }, core.now()
  outcome.value, outcome.err, outcome.name = call.run(s, client, route)
  outcome.took = core.now() - began
  if outcome.value == nil then
    check_error(outcome)
  else
    local what = (given.wrong or call.wrong)(s, outcome.value)
    if what then complain(outcome, "a success that is wrong: %s", what) end
  end
  if outcome.took > (given.deadline or 30) + LATE then
    complain(outcome, "it took %.1f s, and the deadline was %.1f s", outcome.took, given.deadline)
  end
  local connections = #route.log
  if given.afterwards then look_afterwards(s, outcome) end
  s:settle(route)
  if outcome.name then
    s:told(outcome.name, outcome.value, outcome.err, certainly_absent(route, connections))
  end
  if given.expect and not given.expect[outcome.word] then
    complain(outcome, "it ended as %s: %s", outcome.word, tostring(outcome.err))
  end
  s:progress()
  return outcome
end

return { run = run }
