--- The answer is cut at every byte: by FIN and by RST, in three framings, over http, inside TLS
--- (what was encrypted ends too early, with a proper farewell), and TLS itself is cut (the
--- encrypted bytes end). No cut answer is ever taken for a whole one, each is told by a typed error
--- in time, and whoever created a job learns whether it may exist.

local calls = require "network.calls"
local case = require "network.case"
local lipsync = require "akool.lipsync"

local cuts = {}

local AT_ONCE = 48
local DEADLINE = 10 -- s, of the client; no cut should come near it
local SIGNATURES = 8  -- bytes by which two TLS handshakes differ
local TLS_SPREAD = 72 -- and two TLS streams: an answer may come in a record or two more,
                      -- so what the records carry is compared, not their own bytes
local SPREAD = 4      -- and two answers, which count what they hand out
local MEASURED = 5    -- times, since the shortest stream is the one that counts

local FRAMINGS = { "length", "chunked", "close" }
local FAULTS = { -- for the service, to frame its answers like that
  length = { headers = { ["X-Framing"] = "length" } }, -- what it does anyway
  chunked = { framing = "chunked" },
  close = { framing = "none" },
}
local LAYERS = {
  http = { https = false, toxics = "plain", ends = { "fin", "rst" }, step = 1 },
  https = { https = true, toxics = "plain", ends = { "fin" }, step = 11 },
  tls = { https = true, toxics = "wire", ends = { "fin", "rst" }, step = 19 },
}

-- What may be said of an answer that ended too early. How exactly depends on whose packet is read
-- first, and that is nobody's to decide.
local EARLY = {
  connection_lost = true, answer_cut_short = true, network_error = true,
}
local UNFRAMED = { length_unknown = true }

--- Makes the call with its answer cut after `n` bytes; without `n` not at all.
local function cut_at(s, row, n)
  local layer, call = LAYERS[row.layer], calls[row.call]
  local toxics = { down = { limit = n, ends = row.ends } }
  -- A poll goes on when it may; a token and a create are followed by more that is not to be cut.
  local first = call.name ~= "info" and call.name ~= "download"
  return case.run(s, call, { https = layer.https, [layer.toxics] = toxics, first = first,
    deadline = DEADLINE, options = row.framing == "close" and { max_retries = 0 } or nil })
end

--- What was seen of the direction that is cut, on the first connection; nil if it never began.
local function first_answer(row, outcome)
  local log = outcome.route.log[1]
  return log and log[LAYERS[row.layer].toxics].down
end

--- Has all of the answer that matters been delivered over the first connection? `length` is what
--- an uncut one carries.
local function delivered(row, outcome, length)
  local seen = first_answer(row, outcome)
  if not seen then return false end
  if row.layer == "tls" then
    return seen.records.carried >= length - SIGNATURES and seen.passed >= seen.records.whole
  end
  return seen.passed >= math.max(length, seen.offered)
end

--- What the answer is about has been delivered: the last chunk is there, its empty line is not.
local function is_provable(row, outcome, length)
  local seen = row.framing == "chunked" and row.layer ~= "tls" and first_answer(row, outcome)
  return seen and seen.passed >= math.max(length, seen.offered) - 2
end

local function judge(row, outcome, n, length)
  local seen = first_answer(row, outcome)
  if seen and seen.passed > n then return "the proof is broken: more was delivered" end
  local whole, word = delivered(row, outcome, length), outcome.word
  local again = #outcome.route.log > 1
  if outcome.complaint then return outcome.complaint end
  local wire = row.layer == "https" and outcome.route.log[1].wire
  if wire and not whole and not wire.down.records.farewell then
    return "the proof is broken: TLS ended without a farewell"
  end
  if word == "right" then
    if row.framing == "close" then return "an answer without a length was believed" end
    if not whole and not is_provable(row, outcome, length)
      and not (again and row.call ~= "token") then
      return "a cut answer was believed"
    end
  elseif whole and row.framing ~= "close" and row.ends == "fin" then
    return "a whole answer was not believed: " .. tostring(outcome.err)
  elseif not EARLY[word] and not (row.framing == "close" and UNFRAMED[word]) then
    return ("it ended as %s: %s"):format(word, tostring(outcome.err))
  end
end

--- How many bytes the uncut answer has as the cut counts them, and how many it carries.
local function length_of(s, row)
  local least, carried = math.huge, math.huge
  for _ = 1, MEASURED do
    local down = first_answer(row, cut_at(s, row))
    local records = row.layer == "tls" and down.records
    least = math.min(least, records and records.whole or down.offered)
    carried = math.min(carried, records and records.carried or down.offered)
  end
  return least, carried
end

--- Where to cut: at every byte, or at every `step`-th and around the ends.
local function places(row, length, step, index)
  local list = {}
  local last = length + (row.layer == "tls" and TLS_SPREAD or SPREAD)
  for n = index or 0, index or last do
    if index or n % step == 0 or n < 4 or n > length - 8 then list[#list + 1] = n end
  end
  return list, last
end

--- Runs one row: a call, a framing, an end, a layer.
---@param s proof.scene
---@param row { call: string, framing: string, ends: string, layer: string }
---@param report proof.report
---@param index? integer only this cut
local function run(s, row, report, index)
  s:reset(calls.RESULT_BYTES)
  local order = { at = calls[row.call].at, times = "always" }
  for key, value in pairs(FAULTS[row.framing]) do order[key] = value end
  if row.call == "token" and row.framing ~= "close" then -- so that its answer stands alone
    order.headers = { Connection = "close" }
  end
  s.service:fail(order)
  local length, carried = length_of(s, row)
  local list, last = places(row, length, report.full and 1 or row.step, index)
  local outcomes, errors = lipsync.map(list, function(n) return cut_at(s, row, n) end,
    { concurrency = AT_ONCE })
  local unjust = s:judge()
  for i, n in ipairs(list) do
    local outcome = outcomes[i]
    if not outcome then error(errors[i], 0) end
    local wrong = judge(row, outcome, n, carried) or unjust[outcome.name]
    local again = #outcome.route.log > 1 and outcome.word == "right" and row.call ~= "token"
    report:count(row.name, n, again and "right (asked again)" or outcome.word, wrong)
  end
  report:row(row.name, #list == last + 1 and ("0..%d"):format(last)
    or ("%d of 0..%d"):format(#list, last))
end

--- The rows of this group.
---@return { name: string, run: fun(s: proof.scene, report: proof.report, index?: integer) }[]
function cuts.rows()
  local list = {}
  for _, call in ipairs(calls.list) do
    for _, framing in ipairs(FRAMINGS) do
      for _, layer in ipairs { "http", "https", "tls" } do
        for _, ends in ipairs(LAYERS[layer].ends) do
          local row = { call = call.name, framing = framing, ends = ends, layer = layer,
            step = LAYERS[layer].step,
            name = ("cut %s %s %s %s"):format(call.name, framing, layer, ends) }
          list[#list + 1] = { name = row.name, run = function(s, report, index)
            run(s, row, report, index)
          end }
        end
      end
    end
  end
  return list
end

return cuts
