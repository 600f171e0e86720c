--- The toxics of toxiproxy and answers with wrong heads, each on every call, over http and https:
--- the right result or the right typed error, before the deadline. Where a toxic acts on TLS, it
--- acts on the bytes on the wire; heads are tampered with inside it.

local calls = require "network.calls"
local case = require "network.case"
local lipsync = require "akool.lipsync"

local toxics = {}

local SHORT = 1 -- s, for calls that can only end by their deadline

local function words(...)
  local set = {}
  for _, word in ipairs { ... } do set[word] = true end
  return set
end

local RIGHT = words "right"
local LOST = words("connection_lost", "answer_cut_short")
local SILENT = { any = words "answer_timeout", download = words "stalled" }
-- Which of these is first to run out, when TLS does not come up, is for the machine to decide.
local SILENT_TLS = { any = words("tls_timeout", "connect_timeout"),
  download = words("tls_timeout", "connect_timeout", "stalled") }
local ONCE = { max_retries = 0 }
local HURRY = { connect_timeout = SHORT / 2, timeout = SHORT, create_timeout = SHORT,
  stall_timeout = SHORT, wait_timeout = 4 * SHORT, max_retries = 0 }

--- Nothing but the announced length says how long a result is, so that is what there will be.
local function as_long_as_announced(_, got)
  local whole = calls.result
  if got.bytes ~= whole:sub(1, -6) then return "not the bytes that were announced" end
end

-- For answers that do not end, however quick all that goes before them.
local UNENDING = { timeout = 2 * SHORT, create_timeout = 2 * SHORT, stall_timeout = 2 * SHORT,
  max_retries = 0 }

-- What each kind does, and how a call may end: `any` call, unless it has a word of its own; `https`
-- where that differs. `fault` is for the service. All calls have one try, but a create has two.
-- `least` and `bytewise` show that there was a toxic at all, where a call goes well.
local KINDS = {
  { name = "latency", expect = { any = RIGHT }, least = 0.02,
    wire = { up = { latency = 0.03, jitter = 0.02 }, down = { latency = 0.03, jitter = 0.02 } } },
  { name = "latency beyond the deadline", wire = { down = { latency = 5 } }, options = HURRY,
    expect = SILENT, https = SILENT_TLS },
  { name = "down", refuse = true, options = ONCE,
    expect = { any = words "connection_refused" } },
  { name = "bandwidth", wire = { up = { rate = 20000 }, down = { rate = 20000 } },
    expect = { any = RIGHT }, least = 0.005 },
  { name = "bandwidth of next to nothing", wire = { down = { slice = 1, rate = 5 } },
    options = HURRY, expect = SILENT, https = SILENT_TLS },
  { name = "slow close", wire = { down = { slow_close = 0.3 } }, expect = { any = RIGHT },
    fault = { headers = { Connection = "close" } } },
  { name = "slow close as the only end", wire = { down = { slow_close = 0.3 } },
    expect = { any = words "length_unknown" }, options = ONCE, fault = { framing = "none" } },
  { name = "timeout, silent for ever", wire = { down = { drop = true } }, options = HURRY,
    expect = SILENT, https = SILENT_TLS },
  { name = "timeout, no request arrives", wire = { up = { drop = true } }, options = HURRY,
    expect = SILENT, https = SILENT_TLS },
  { name = "timeout, then closed", wire = { down = { drop = true }, timeout = 0.1 },
    options = ONCE, expect = { any = LOST } },
  { name = "reset peer at once", wire = { reset = 0 }, options = ONCE,
    expect = { any = words("connection_lost", "connection_refused") } },
  { name = "reset peer later", wire = { down = { drop = true }, reset = 0.1 }, options = ONCE,
    expect = { any = LOST } },
  { name = "slicer", expect = { any = RIGHT }, least = 0.005,
    wire = { up = { slice = 40, every = 0.001 }, down = { slice = 40, every = 0.001 } } },
  { name = "slices of one byte", wire = { up = { slice = 1 }, down = { slice = 1 } },
    expect = { any = RIGHT }, bytewise = true },
  { name = "limit data", wire = { down = { limit = 400, ends = "fin" } }, options = ONCE,
    expect = { any = LOST } },
  { name = "limit data, peer gone", wire = { down = { limit = 400, ends = "gone" } },
    options = ONCE, expect = { any = LOST } },
  { name = "limit data of the request", wire = { up = { limit = 100, ends = "fin" } },
    options = ONCE, expect = { any = LOST } },
  { name = "too short a length", plain = { down = { length = -5 } }, options = ONCE,
    expect = { any = words "broken_json", download = RIGHT },
    wrong = { download = as_long_as_announced } },
  { name = "too long a length", plain = { down = { length = 5 } }, options = UNENDING,
    expect = SILENT },
  { name = "too long a length, closed", plain = { down = { length = 5 }, timeout = 0.3 },
    options = ONCE, expect = { any = words "answer_cut_short" } },
  { name = "flood of headers", plain = { down = { flood = 128 * 1024 } }, options = ONCE,
    expect = { any = words "answer_too_large" } },
}

--- One call under one toxic.
local function try(s, kind, call, https)
  local options = {}
  for name, value in pairs(kind.options or {}) do options[name] = value end
  if call.name == "create" then options.max_retries = 1 end
  local expect = https and kind.https or kind.expect
  return case.run(s, call, { https = https, wire = kind.wire, plain = kind.plain,
    refuse = kind.refuse, options = options, expect = expect[call.name] or expect.any,
    deadline = kind.expect == SILENT and 8 * SHORT or 30,
    wrong = kind.wrong and kind.wrong[call.name],
    afterwards = not kind.refuse and not kind.fault })
end

--- Was the toxic there?
local function did_nothing(kind, outcome)
  local down = kind.bytewise and outcome.route.log[1].wire.down
  return kind.least and outcome.took < kind.least or down and down.pieces ~= down.passed
end

local function run(s, kind, report, index)
  s:reset(calls.RESULT_BYTES)
  if kind.fault then
    for _, at in ipairs { "create", "info", "token", "file" } do
      local order = { at = at, times = "always" }
      for key, value in pairs(kind.fault) do order[key] = value end
      s.service:fail(order)
    end
  end
  local list = {}
  for round = 1, report.full and 10 or 1 do
    for i, call in ipairs(calls.list) do
      for j, https in ipairs { false, true } do
        local number = (round - 1) * 2 * #calls.list + 2 * (i - 1) + j
        if not index or index == number then
          list[#list + 1] = { call = call, https = https, number = number }
        end
      end
    end
  end
  local outcomes, errors = lipsync.map(list, function(each)
    return try(s, kind, each.call, each.https)
  end, { concurrency = 20 })
  local unjust = s:judge()
  for i, each in ipairs(list) do
    local outcome = outcomes[i]
    if not outcome then error(errors[i], 0) end
    local wrong = outcome.complaint or unjust[outcome.name]
      or did_nothing(kind, outcome) and "the proof is broken: the toxic did nothing"
    report:count(kind.title, each.number, outcome.word, wrong
      and ("%s over %s: %s"):format(each.call.name, each.https and "https" or "http", wrong))
  end
  report:row(kind.title, ("%d calls"):format(#list))
end

--- The rows of this group.
---@return { name: string, run: fun(s: proof.scene, report: proof.report, index?: integer) }[]
function toxics.rows()
  local list = {}
  for i, kind in ipairs(KINDS) do
    kind.title = "toxic " .. kind.name
    list[i] = { name = kind.title, run = function(s, report, index)
      run(s, kind, report, index)
    end }
  end
  return list
end

return toxics
