-- batch: the commands about many jobs that a ledger keeps, but for `batch run`.

local csv = require "akool.lipsync.cli.csv"
local exit = require "akool.lipsync.cli.exit"
local json = require "akool.lipsync.cli.json"
local ledger = require "akool.lipsync.cli.ledger"
local output = require "akool.lipsync.cli.output"
local problem = require "akool.lipsync.cli.problem"
local rows = require "akool.lipsync.cli.rows"
local tally = require "akool.lipsync.cli.tally"
local text = require "akool.lipsync.cli.text"

local batch = {}

local SOON = 24 * 3600 -- seconds in which a result that is not here yet will be gone

--- Run `f(batch)` on the ledger, and close it; `make` it if it is not there.
local function with_ledger(ctx, f, make)
  local opened, err = ledger.open(ctx, nil, make)
  local status
  if opened then status, err = f(opened) end
  if opened then opened:close() end
  if status then return status end
  ctx.out:failure(err)
  return exit.of(err)
end

-- Adding ------------------------------------------------------------------------------------------

--- The lines of a table as a batch takes them.
local function read_items(ctx)
  local args = ctx.args
  local source, err = ctx:read(args.file)
  if not source then return nil, err end
  local items, lines = rows.read(source, args.file, { format = args.format, video = args.video,
    output = args.output, force = args.force })
  if not items then return nil, problem.usage("Nothing was added.\n%s", lines) end
  if #items == 0 then return nil, problem.usage("Nothing was added: %s has no rows.", args.file) end
  return items, nil, lines
end

function batch.add(ctx)
  local items, err, lines = read_items(ctx)
  if not items then
    ctx.out:failure(err)
    return exit.of(err)
  end
  return with_ledger(ctx, function(opened)
    local added, why = opened:add(items)
    if not added then
      local line = why.item and lines[why.item]
      if line then why.message = ("Nothing was added.\nline %d: %s"):format(line, why.message) end
      return nil, why
    end
    local known = #items - added
    ctx.out:result({ added = added, known = known }, known == 0 and ("%d added"):format(added)
      or ("%d added, %d were there"):format(added, known))
    return exit.DONE
  end, true)
end

-- Looking -----------------------------------------------------------------------------------------

--- What one row tells of itself when something is to be done about it.
local function line_of(row)
  local why = row.error and (row.error.message or row.error.name)
  return table.concat({ ("%-8s"):format(row.state), row.key, row.job_id or "-", why }, "  ")
end

--- Rows that wait for a person: those that failed, and results that will be gone soon.
local function needy(opened)
  local list = json.list {}
  for _, state in ipairs { "unknown", "failed", "expired" } do
    local some, err = opened:rows(state)
    if not some then return nil, err end
    for _, row in ipairs(some) do list[#list + 1] = row end
  end
  local expiring, err = opened:expiring(SOON)
  if not expiring then return nil, err end
  return list, nil, json.list(expiring)
end

function batch.status(ctx)
  return with_ledger(ctx, function(opened)
    local counts, err = opened:status()
    if not counts then return nil, err end
    local list, why, expiring = needy(opened)
    if not list then return nil, why end
    local lines = { tally.line(counts) }
    for _, row in ipairs(list) do lines[#lines + 1] = line_of(row) end
    for _, row in ipairs(expiring) do
      lines[#lines + 1] = ("expires   %s  %s  in %s: run the batch"):format(row.key,
        row.job_id or "-", text.clock((row.expires_at or 0) - os.time()))
    end
    ctx.out:result({ counts = tally.numbers(counts), rows = list, expiring = expiring }, lines)
    tally.advise(ctx.out, counts, ledger.shown(ctx.args.ledger))
    return exit.DONE
  end)
end

local COLUMNS = { "key", "state", "video_url", "audio_url", "output", "webhook_url", "job_id",
  "attempts", "credits", "duration", "created_at", "expires_at", "path", "bytes", "sha256",
  "error" }

local function cell(value)
  if type(value) == "table" then value = value.message or value.name end
  if type(value) == "number" then return (value % 1 == 0 and "%.0f" or "%.14g"):format(value) end
  return value
end

--- One row of the table that `export` makes. `add` reads it again: the columns have the same names.
local function fields_of(row)
  local fields = {}
  for i, name in ipairs(COLUMNS) do fields[i] = cell(row[name]) end
  return fields
end

function batch.export(ctx)
  return with_ledger(ctx, function(opened)
    local list, err = opened:rows()
    if not list then return nil, err end
    if ctx.out.mode ~= "plain" then
      ctx.out:result({ rows = json.list(list) }, {})
    elseif ctx.args.format == "jsonl" then
      for _, row in ipairs(list) do ctx.out:raw(json.encode(row) .. "\n") end
    else
      ctx.out:raw(csv.line(COLUMNS, #COLUMNS))
      for _, row in ipairs(list) do ctx.out:raw(csv.line(fields_of(row), #COLUMNS)) end
    end
    return exit.DONE
  end)
end

-- Changing ----------------------------------------------------------------------------------------

--- Do something to each of these rows; what becomes of it, and the gravest status.
local function for_each(ctx, keys, done, f)
  local list, lines, status = json.list {}, {}, exit.DONE
  for i, key in ipairs(keys) do
    local fine, err = f(key)
    list[i] = { key = key, error = not fine and output.error(err) or nil }
    if fine then
      lines[#lines + 1] = ("%s: %s"):format(key, done)
    else
      status = exit.graver(status, exit.of(err))
    end
  end
  ctx.out:result({ rows = list }, lines)
  for _, entry in ipairs(list) do
    if entry.error then
      ctx.out:say(("akool-lipsync: %s: %s"):format(entry.key, entry.error.message))
    end
  end
  return status
end

--- The keys of the rows that failed or expired.
local function lost_keys(opened)
  local keys = {}
  for _, state in ipairs { "failed", "expired" } do
    local some, err = opened:rows(state)
    if not some then return nil, err end
    for _, row in ipairs(some) do keys[#keys + 1] = row.key end
  end
  return keys
end

function batch.retry(ctx)
  local args = ctx.args
  return with_ledger(ctx, function(opened)
    local keys, err = args.keys, nil
    if (args.all or false) == (#keys > 0) then return nil, problem.usage "Give keys, or --all." end
    if args.all then keys, err = lost_keys(opened) end
    if not keys then return nil, err end
    return for_each(ctx, keys, "planned again; it will be paid again",
      function(key) return opened:retry(key) end)
  end)
end

function batch.resubmit(ctx)
  return with_ledger(ctx, function(opened)
    return for_each(ctx, ctx.args.keys, "planned again; if its first job exists, it is paid twice",
      function(key) return opened:resubmit(key) end)
  end)
end

function batch.adopt(ctx)
  return with_ledger(ctx, function(opened)
    return for_each(ctx, { ctx.args.key }, "has the job " .. ctx.args.id,
      function(key) return opened:adopt(key, ctx.args.id) end)
  end)
end

function batch.cancel(ctx)
  return with_ledger(ctx, function(opened)
    return for_each(ctx, ctx.args.keys, "cancelled", function(key) return opened:cancel(key) end)
  end)
end

return batch
