-- run: the command `batch run`: a ledger's work, shown while it is done.

local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"
local interrupt = require "akool.lipsync.cli.interrupt"
local ledger = require "akool.lipsync.cli.ledger"
local lipsync = require "akool.lipsync"
local output = require "akool.lipsync.cli.output"
local problem = require "akool.lipsync.cli.problem"
local progress = require "akool.lipsync.cli.progress"
local tally = require "akool.lipsync.cli.tally"
local text = require "akool.lipsync.cli.text"

local run = {}

local STOPPING = "%s: what is under way is brought to where it can be left. Once more ends at once."
local CONCURRENCY_MAX = 1000000
local BETWEEN = 1 -- seconds between two events about the same download

-- Events ------------------------------------------------------------------------------------------

local GOING = { submitting = true, submitted = true, processing = true, ready = true,
  downloading = true }
local OVER = { done = true, failed = true, unknown = true, expired = true }

local function reason(event)
  return event.error and (event.error.message or tostring(event.error)) or nil
end

-- What people are told of events that are about no single state.
local NOTES = {
  adopted = function(e)
    return ("%s: an earlier job is used: %s"):format(e.key, tostring(e.job))
  end,
  planned = function(e)
    if not e.error then return ("%s: planned again"):format(e.key) end
    return ("%s: not taken by the service, and planned again: %s"):format(e.key, reason(e))
  end,
  paused = function(e)
    return ("No new jobs for %.0f s: %s"):format(e.seconds or 0, reason(e) or "the service said so")
  end,
  resumed = function() return "New jobs are made again." end,
  stopping = function(e) return ("Stopping: %s"):format(reason(e) or "as asked") end,
  waiting = function(e)
    return ("Waiting for %.0f rows that other workers hold."):format(e.count or 0)
  end,
  trouble = function(e)
    local about = e.key and e.key .. ": " or ""
    local again = e.seconds and (" It is tried again in %.1f s."):format(e.seconds)
    return about .. (reason(e) or "?") .. (again or " It waits for the next run.")
  end,
}

local function document_of(event)
  local document = {}
  for name, value in pairs(event) do
    if name ~= "type" and name ~= "error" and name ~= "row" then document[name] = value end
  end
  document.error = event.error and output.error(event.error) or nil
  local row = event.row
  if row and event.type == "done" then
    document.path, document.bytes, document.sha256 = row.path, row.bytes, row.sha256
  end
  return document
end

--- What hears the events of a run.
local function listener(ctx, shown)
  local told = {} -- when a download was last told of
  return function(event)
    local kind, key = event.type, event.key
    if kind == "progress" then
      shown:bytes(key, event.bytes, event.total)
      local now = core.now()
      if now - (told[key] or -BETWEEN) < BETWEEN then return end
      told[key] = now
    elseif GOING[kind] then
      shown:state(key, kind)
    elseif OVER[kind] then
      told[key] = nil
      shown:over(key, kind, reason(event))
    elseif kind == "planned" then
      shown:over(key)
    end
    ctx.out:event(kind, document_of(event))
    if NOTES[kind] then ctx.out:note("%s", NOTES[kind](event)) end
  end
end

-- The end -----------------------------------------------------------------------------------------

--- The command that goes on: into the same folder.
local function same_again(args)
  local words = { "akool-lipsync batch run", ledger.shown(args.ledger) }
  if args.output_dir then words[3] = "--output-dir " .. text.quote(args.output_dir) end
  if args.concurrency then words[#words + 1] = "--concurrency " .. text.quote(args.concurrency) end
  return table.concat(words, " ")
end

--- What still runs at the service, and how to go on.
local function tell_left(ctx, opened, summary)
  for _, state in ipairs { "submitting", "submitted", "processing", "ready" } do
    for _, row in ipairs(opened:rows(state) or {}) do
      ctx.out:say(("%s  %s  %s"):format(state, row.key, row.job_id or "-"))
    end
  end
  if tally.left(summary) > 0 then
    ctx.out:say("What runs goes on at the service. To go on here: " .. same_again(ctx.args))
  end
end

local function conclude(ctx, opened, summary)
  local status = tally.exit(summary)
  local stopped = summary.stopped
  ctx.out:result({ counts = tally.numbers(summary), interrupted = summary.interrupted,
    stopped = stopped and output.error(stopped) or nil, exit = status }, tally.line(summary))
  if stopped then ctx.out:say("akool-lipsync: " .. tostring(stopped)) end
  tell_left(ctx, opened, summary)
  tally.advise(ctx.out, summary, ledger.shown(ctx.args.ledger))
  return status
end

--- Do the work; shows how it goes.
local function go(ctx, opened)
  local before, err = opened:status()
  if not before then return nil, err end
  local shown = progress.start(ctx.out, before.total - (before.cancelled or 0))
  shown:before(before.done or 0,
    (before.failed or 0) + (before.unknown or 0) + (before.expired or 0))
  local summary
  local _, work = interrupt.run(ctx.out, function(work)
    work.stop = function(signal)
      ctx.out:note(STOPPING, signal)
      opened:stop()
    end
    summary, err = opened:run { on_event = listener(ctx, shown), signals = false }
  end)
  shown:stop()
  if summary and work.signal then summary.interrupted = work.signal end
  return summary, err
end

function run.run(ctx)
  local args = ctx.args
  local concurrency = tonumber(args.concurrency or 3)
  local fine = concurrency and concurrency >= 1 and concurrency <= CONCURRENCY_MAX
    and concurrency % 1 == 0
  local client, err = ctx:client()
  if client and not fine then
    client, err = nil, problem.usage("--concurrency: a whole number from 1 to %d expected.",
      CONCURRENCY_MAX)
  elseif client and args.output_dir == "" then
    client, err = nil, problem.usage("--output-dir: the path of a folder expected.")
  end
  local opened, summary
  if client then
    opened, err = ledger.open(ctx, { client = client, output_dir = args.output_dir,
      concurrency = concurrency })
  end
  if opened then
    summary, err = lipsync.run(go, ctx, opened)
    local status = summary and conclude(ctx, opened, summary)
    opened:close()
    if status then return status end
  end
  ctx.out:failure(err)
  return exit.of(err)
end

return run
