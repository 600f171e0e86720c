-- webhook: the commands that open deliveries and listen for them.

local exit = require "akool.lipsync.cli.exit"
local interrupt = require "akool.lipsync.cli.interrupt"
local ledger = require "akool.lipsync.cli.ledger"
local keys = require "akool.lipsync.cli.keys"
local lipsync = require "akool.lipsync"
local output = require "akool.lipsync.cli.output"
local problem = require "akool.lipsync.cli.problem"
local deliveries = require "akool.lipsync.webhook"

local webhook = {}

local PATIENCE = 3600 -- seconds between two looks at nothing

local function document_of(event)
  return { id = event.id, status = event.status, video = event.video, sent_at = event.sent_at,
    kind = event.type, data = event.data }
end

local function line_of(event)
  return table.concat({ event.id, event.status, event.video }, " ")
end

--- The pair that opens deliveries, from wherever credentials come.
local function pair(ctx)
  local found, err = keys.find(ctx.args.key_file)
  if not found then return nil, err end
  return { client_id = found.client_id, client_secret = found.client_secret }
end

--- A number that an option gave, or the default.
local function number(ctx, name, least, default)
  local given = ctx.args[name]
  if given == nil then return default end
  local value = tonumber(given)
  if value and value >= least and value < math.huge then return value end
  return nil, problem.usage("--%s: a number of at least %d expected, not %q.", name, least, given)
end

local function open(ctx)
  local opts, err = pair(ctx)
  if not opts then return nil, err end
  opts.tolerance, err = number(ctx, "tolerance", 0)
  if err then return nil, err end
  local body
  body, err = ctx:read(ctx.args.file or "-")
  if not body then return nil, err end
  return deliveries.open(body, opts)
end

function webhook.open(ctx)
  local event, err = open(ctx)
  if not event then
    ctx.out:failure(err)
    return exit.of(err)
  end
  ctx.out:result({ event = document_of(event) }, line_of(event))
  return exit.DONE
end

--- What a delivery says, as the service sees it, unless deliveries are trusted.
local function confirmed(ctx, client, event)
  if not client then return event end
  local job, err = client:info(event.id)
  if job then
    return { id = job.id, status = job.status, video = job.video, sent_at = event.sent_at,
      type = event.type, data = event.data }
  end
  ctx.out:event("unconfirmed", { id = event.id, error = output.error(err) })
  ctx.out:say(("A delivery about %s was not confirmed: %s"):format(event.id, tostring(err)))
end

--- The options of a receiver, of what was given.
local function listen_options(ctx)
  local args = ctx.args
  local opts, err = pair(ctx)
  if not opts then return nil, err end
  local port
  port, err = number(ctx, "port", 0, 0)
  if port and not (port <= 65535 and port % 1 == 0) then
    err = problem.usage "--port: a whole number from 0 to 65535 expected."
  end
  if args.path and not args.path:find "^/[^?#%s]*$" then
    err = problem.usage "--path: one that begins with / expected."
  end
  if err then return nil, err end
  opts.host, opts.port, opts.path = args.host, port, args.path
  return opts
end

--- Have a batch ask about the job of a delivery, and write down what the service says.
local function note(ctx, batch, event)
  local row, err = batch:hear(event)
  if row then
    ctx.out:note("%s: %s", row.key, row.state)
  elseif err.name ~= "no_such_row" then
    ctx.out:say(("A delivery about %s is not in the ledger: %s"):format(event.id, tostring(err)))
  end
end

--- Listen until enough has come, or a signal. Without `client` deliveries are believed; with `batch`
--- they are written down.
local function serve(ctx, opts, client, batch, limit)
  local told, waiter = 0, nil
  opts.on_event = function(event)
    if batch then note(ctx, batch, event) end
    local seen = confirmed(ctx, client, event)
    if not seen or told >= limit then return end
    told = told + 1
    if ctx.out.mode == "plain" then
      ctx.out:result({}, line_of(seen))
    else
      ctx.out:event("delivery", { event = document_of(seen) })
    end
    if told >= limit and waiter then waiter:cancel() end
  end
  opts.on_error = function(why) ctx.out:say("akool-lipsync: " .. tostring(why)) end
  local receiver, err = deliveries.listen(opts)
  if not receiver then return nil, err end
  ctx.out:event("listening", { host = receiver.host, port = receiver.port, path = receiver.path })
  ctx.out:note("Listening at http://%s:%d%s", receiver.host, receiver.port, receiver.path)
  waiter = lipsync.spawn(function()
    repeat until told >= limit or not lipsync.sleep(PATIENCE)
  end)
  waiter:join()
  waiter:cancel()
  receiver:close()
  return told
end

function webhook.listen(ctx)
  local args, err = ctx.args, problem.without_luv "A receiver of webhooks"
  local opts, limit, client, batch
  if not err then opts, err = listen_options(ctx) end
  if opts then limit, err = number(ctx, "count", 1, math.huge) end
  if limit and (args.ledger or not args.trust) then client, err = ctx:client() end
  if client and args.ledger then batch, err = ledger.open(ctx, { client = client }) end
  if limit and not err then
    local told, why
    local _, work = interrupt.run(ctx.out, function()
      told, why = serve(ctx, opts, not args.trust and client, batch, limit)
    end)
    if batch then batch:close() end
    err = why
    if not why then
      if ctx.out.mode ~= "plain" then ctx.out:result({ deliveries = told }, {}) end
      return work.signal and exit.INTERRUPTED or exit.DONE
    end
  end
  ctx.out:failure(err)
  return exit.of(err)
end

return webhook
