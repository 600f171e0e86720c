-- doctor: the command that looks at what the others need, and says what is wrong with it. Nothing that it
-- does costs credits.

local cjson = require "cjson"
local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"
local interrupt = require "akool.lipsync.cli.interrupt"
local json = require "akool.lipsync.cli.json"
local keys = require "akool.lipsync.cli.keys"
local ledger = require "akool.lipsync.cli.ledger"
local settings = require "akool.lipsync.cli.settings"
local tally = require "akool.lipsync.cli.tally"

local doctor = {}

local SKEW = 60 -- seconds that clocks may be apart: certificates and webhooks have dates

---@class akool.lipsync.cli.Report
---@field checks table[]
---@field status integer
local Report = {}
Report.__index = Report

function Report:add(state, name, message, status)
  table.insert(self.checks, { name = name, state = state, message = message })
  if status then self.status = exit.graver(self.status, status) end
end

-- What is installed -------------------------------------------------------------------------------

local function version_of(name, field)
  local found, module = pcall(require, name)
  if not found then return nil end
  local value = type(module) == "table" and module[field or "_VERSION"]
  if type(value) == "function" then value = value() end
  return tostring(value or "present")
end

local function versions(report)
  local jit = rawget(_G, "jit")
  report:add("ok", "akool-lipsync", core._VERSION)
  report:add("ok", "Lua", jit and jit.version or _VERSION)
  report:add("ok", "libcurl", core.libcurl)
  report:add("ok", "TLS", core.tls)
  report:add("ok", "lua-cjson", cjson._VERSION)
  report:add("ok", "argparse", version_of("argparse", "version"))
  local luv = version_of("akool.lipsync.uv", "version_string")
  report:add(luv and "ok" or "warn", "luv", luv
    or "not installed: no mock, no receiver of webhooks, no key files, no progress on a terminal")
  local dbi = version_of "DBI"
  report:add(dbi and "ok" or "warn", "LuaDBI", dbi or "not installed: no batches")
end

-- The service -------------------------------------------------------------------------------------

--- Compare the clocks.
local function clock(report, date)
  if not date then return report:add("warn", "clock", "the answer had no date to compare with") end
  local apart = os.time() - date
  local words = ("%.0f s %s the service's"):format(math.abs(apart),
    apart < 0 and "behind" or "ahead of")
  report:add(math.abs(apart) <= SKEW and "ok" or "warn", "clock", words)
end

--- Ask for the credits: the connection, the key and the balance, in one request.
local function service(ctx, report)
  local date, answered
  local given = settings.read(ctx.args) or {}
  local client, err = ctx:client { on_event = function(event)
    if event.type == "answer" and event.http_status then answered, date = true, event.date end
  end }
  local address = given.base_url or os.getenv "AKOOL_BASE_URL" or "https://openapi.akool.com"
  if not client then return report:add("fail", "credentials", err.message, exit.of(err)) end
  report:add("ok", "credentials", "from " .. keys.source(ctx.args.key_file))
  local credits
  credits, err = client:credits()
  if err and not answered then
    return report:add("fail", "connection", tostring(err), exit.of(err))
  end
  report:add("ok", "connection", address .. " answers")
  clock(report, date)
  if err then return report:add("fail", "key", tostring(err), exit.of(err)) end
  report:add("ok", "key", "accepted")
  report:add(credits > 0 and "ok" or "warn", "credits", ("%.14g"):format(credits))
end

-- The ledger --------------------------------------------------------------------------------------

local function ledger_health(ctx, report)
  local opened, err = ledger.open(ctx)
  local counts
  if opened then counts, err = opened:status() end
  if opened then opened:close() end
  if not counts then return report:add("fail", "ledger", tostring(err), exit.of(err)) end
  local state = (counts.unknown or 0) + (counts.failed or 0) > 0 and "warn" or "ok"
  report:add(state, "ledger", tally.line(counts))
end

function doctor.doctor(ctx)
  local report = setmetatable({ checks = json.list {}, status = exit.DONE }, Report)
  versions(report)
  local _, work = interrupt.run(ctx.out, function() service(ctx, report) end)
  if ctx.args.ledger and not work.signal then ledger_health(ctx, report) end
  local lines = {}
  for i, check in ipairs(report.checks) do
    lines[i] = ("%-4s  %-13s  %s"):format(check.state, check.name, check.message)
  end
  ctx.out:result({ checks = report.checks, exit = report.status }, lines)
  return report.status
end

return doctor
