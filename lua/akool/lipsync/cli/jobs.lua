-- jobs: the commands about single jobs: generate, create, info, wait, download; and credits.

local exit = require "akool.lipsync.cli.exit"
local interrupt = require "akool.lipsync.cli.interrupt"
local json = require "akool.lipsync.cli.json"
local lipsync = require "akool.lipsync"
local output = require "akool.lipsync.cli.output"
local progress = require "akool.lipsync.cli.progress"
local rows = require "akool.lipsync.cli.rows"
local text = require "akool.lipsync.cli.text"

local jobs = {}

local IN_FLIGHT = "Its answer was not seen. The job may exist, and be paid: compare your credits "
  .. "(akool-lipsync credits) and the account's results before you say this again."

-- Saying ------------------------------------------------------------------------------------------

--- A job as a document has it.
local function document_of(job)
  return { id = job.id, status = job.status, video = job.video, created_at = job.created_at,
    expires_at = job.expires_at, duration = job.duration, credits = job.credits, data = job.data }
end

local function line_of(job)
  return table.concat({ job.id, job.status, job.video }, " ")
end

local function file_line(file)
  return ("%s  %.0f bytes  sha256 %s"):format(file.path, file.bytes, file.sha256)
end

--- What goes on with a job whose file was wanted, and with one that was only followed.
local function continue_with(id, path)
  if path then
    return ("akool-lipsync download --wait %s %s"):format(text.quote(id), text.quote(path))
  end
  return "akool-lipsync wait " .. text.quote(id)
end

--- Say what went wrong, and how to go on; returns the status to end with.
local function fail(ctx, err, path, document)
  local id, status = err.job and err.job.id, exit.of(err)
  local advice
  if err.maybe_created then
    advice = IN_FLIGHT
  elseif id and (status == exit.RUNNING or status == exit.INTERRUPTED) then
    advice = ("Job %s goes on at the service. To go on here: %s"):format(id,
      continue_with(id, path))
  elseif id and path and (status == exit.NETWORK or status == exit.LOCAL) then
    advice = ("Job %s and its result stay at the service. To go on here: %s"):format(id,
      continue_with(id, path))
  end
  ctx.out:failure(err, advice, document)
  return status
end

-- Following ---------------------------------------------------------------------------------------

local REPEATED = "%s failed (%s); it is tried again in %.1f s"

--- Options of a call that show how it goes: what its job is called, and which it is.
local function watched(ctx, shown, key)
  local id
  local function name() return key or id or "?" end
  return {
    on_status = function(status, job)
      id = job.id
      ctx.out:event("status", { job = document_of(job) })
      shown:state(name(), status)
    end,
    on_progress = function(bytes, total)
      shown:state(name(), "downloading")
      shown:bytes(name(), bytes, total)
    end,
    on_event = function(event)
      if event.type ~= "retry" then return end
      ctx.out:event("retry", { op = event.op, job = event.job and { id = event.job },
        wait = event.wait, error = event.error })
      ctx.out:note(REPEATED, event.op, event.error or "?", event.wait or 0)
    end,
  }
end

--- Run `f(client, work)`; a signal ends it.
local function with_client(ctx, f)
  local client, err = ctx:client()
  if not client then return fail(ctx, err) end
  return (interrupt.run(ctx.out, function(work) return f(client, work) end))
end

--- The error of a call that a signal ended is about this job, though the op may not have known.
local function about(err, job)
  if not err.job then err.job = job end
  return err
end

-- Commands ----------------------------------------------------------------------------------------

local function params(args)
  return { video_url = args.video_url, audio_url = args.audio_url, webhook_url = args.webhook_url }
end

function jobs.generate(ctx)
  local args = ctx.args
  local path = args.output or rows.key_of(args.video_url, args.audio_url) .. ".mp4"
  return with_client(ctx, function(client, work)
    local shown = progress.start(ctx.out)
    local opts = watched(ctx, shown)
    local job
    local tell = opts.on_status
    opts.on_status = function(status, seen)
      job = seen
      tell(status, seen)
      work:settle()
    end
    opts.overwrite = args.overwrite
    work.careful = true
    local file, err = client:generate(params(args), path, opts)
    work.careful = false
    shown:stop()
    if not file then
      return fail(ctx, about(err, job), path, { job = job and document_of(job) })
    end
    ctx.out:result({ job = document_of(job), file = file }, file_line(file))
    return exit.DONE
  end)
end

function jobs.create(ctx)
  return with_client(ctx, function(client, work)
    work.careful = true
    local job, err = client:create(params(ctx.args))
    work.careful = false
    if not job then return fail(ctx, err) end
    ctx.out:result({ job = document_of(job) }, job.id)
    return exit.DONE
  end)
end

--- What became of each id: one document, a line for each, the gravest status.
local function report(ctx, ids, found, errors)
  local list, lines, status = json.list {}, {}, exit.DONE
  for i, id in ipairs(ids) do
    local job, err = found[i], errors[i]
    if job then
      list[i], lines[#lines + 1] = document_of(job), line_of(job)
    else
      list[i] = { id = id, error = output.error(err), status = err.job and err.job.status }
      status = exit.graver(status, exit.of(err))
    end
  end
  ctx.out:result({ jobs = list, exit = status }, lines)
  for i, id in ipairs(ids) do
    local err = errors[i]
    if err then ctx.out:complain(err, id) end
  end
  local left = {}
  for i, id in ipairs(ids) do
    local code = errors[i] and exit.of(errors[i])
    if code == exit.RUNNING or code == exit.INTERRUPTED then left[#left + 1] = text.quote(id) end
  end
  if #left > 0 then
    ctx.out:say("What runs goes on at the service. To go on here: akool-lipsync wait "
      .. table.concat(left, " "))
  end
  return status
end

local AT_ONCE = 64

function jobs.info(ctx)
  return with_client(ctx, function(client)
    local found, errors = lipsync.map(ctx.args.ids, function(id) return client:info(id) end,
      { concurrency = AT_ONCE })
    return report(ctx, ctx.args.ids, found, errors)
  end)
end

function jobs.wait(ctx)
  local ids = ctx.args.ids
  return with_client(ctx, function(client)
    local shown = progress.start(ctx.out, #ids > 1 and #ids or nil)
    local found, errors = lipsync.map(ids, function(id)
      local job, err = client:wait(id, watched(ctx, shown, id))
      shown:over(id, job and job.status or err.kind == "failed" and "failed" or nil)
      return job, err and about(err, { id = id })
    end, { concurrency = #ids })
    shown:stop()
    return report(ctx, ids, found, errors)
  end)
end

function jobs.download(ctx)
  local args = ctx.args
  return with_client(ctx, function(client)
    local shown = progress.start(ctx.out)
    local opts = watched(ctx, shown, args.id)
    opts.overwrite = args.overwrite
    local job, file, err = args.id, nil, nil
    if args.wait then job, err = client:wait(args.id, opts) end
    if job then file, err = client:download(job, args.file, opts) end
    shown:stop()
    if not file then return fail(ctx, about(err, { id = args.id }), args.file) end
    ctx.out:result({ job = { id = args.id }, file = file }, file_line(file))
    return exit.DONE
  end)
end

function jobs.credits(ctx)
  return with_client(ctx, function(client)
    local credits, err = client:credits()
    if not credits then return fail(ctx, err) end
    ctx.out:result({ credits = credits }, ("%.14g"):format(credits))
    return exit.DONE
  end)
end

return jobs
