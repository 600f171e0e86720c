-- What the core is asked to do while the world refuses: each scenario is a function of a trial (see
-- run.lua) that notes what every call answered with t:note(what, value, err).

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local loop = require "akool.lipsync.loop"
local webhook = require "akool.lipsync.webhook"

local NEWER = 0x080800 -- of a libcurl that keeps TLS sessions, and whose lines are looked at once

local scenarios = {}

-- In the order of the table. `prepare` runs before anything is refused; `libcurl` is the version that
-- the core is told, its own by default.
local function scenario(name, run, prepare, libcurl)
  scenarios[#scenarios + 1] = { name = name, run = run, prepare = prepare, libcurl = libcurl or 0 }
end

local function create(t, client)
  t:note("create", client:create { video_url = t.video, audio_url = t.audio })
end

scenario("create", function(t)
  local client = t:client()
  if client then create(t, client) end
end)

scenario("create lost", function(t)
  t.service:fail { at = "create", close = "after" }
  local client = t:client()
  if client then create(t, client) end
end)

scenario("settings", function(t)
  local client = t:client { user_agent = "a program", ca_file = "/nowhere", proxy = false }
  if client then t:note("info", client:info(t.job, { timeout = 1.5, proxy = t.service.url })) end
  client = t:client { proxy = "http://somebody:secret@127.0.0.1:9" }
  if client then t:note("credits", client:credits { user_agent = "another" }) end
end, function(t) t:make_job() end)

scenario("poll", function(t)
  local client = t:client { on_event = function() end }
  if not client then return end
  for status, what in client:poll(t.job) do
    if status == "error" then t:note("poll", nil, what) else t:note("poll", what) end
  end
end, function(t) t:make_job() end)

scenario("token", function(t)
  local client = t:client { api_key = false, client_id = t.client_id,
    client_secret = t.client_secret }
  if not client then return end
  local told, errors = lipsync.map({ 1, 2, 3 }, function() return client:credits() end)
  for i = 1, 3 do t:note("credits", told[i], errors[i]) end
end)

scenario("token lost", function(t)
  local client = t:client { api_key = false, client_id = t.client_id,
    client_secret = t.client_secret }
  if not client then return end
  t:note("credits", client:credits())
  t.service:expire_tokens()
  t:note("credits", client:credits())
end)

scenario("many", function(t)
  local client = t:client { max_connections = 8 }
  if not client then return end
  local list = {}
  for i = 1, 70 do list[i] = i end -- more than there is room for at first
  local function ask() return client:info(t.job) end
  local told, errors = lipsync.map(list, ask, { concurrency = #list })
  for i = 1, #list do t:note("info", told[i], errors[i]) end
end, function(t) t:make_job() end)

-- So many waits that the table of timers, which has room for 64, is full when it is a request's turn.
local function beside_waits(count, ask)
  local waits = {}
  for i = 1, count do waits[i] = core.sleep(60) end
  ask()
  for _, wait in pairs(waits) do wait:cancel() end
end

scenario("crowded", function(t)
  local client = t:client()
  if not client then return end
  beside_waits(63, function() t:note("info", client:info(t.job)) end)
end, function(t) t:make_job() end)

scenario("crowded token", function(t)
  local client = t:client { api_key = false, client_id = t.client_id,
    client_secret = t.client_secret }
  if not client then return end
  beside_waits(63, function() t:note("credits", client:credits()) end)
end)

scenario("newer libcurl", function(t)
  local client = t:client()
  local other = t:client { base_url = t.service.url .. "/elsewhere" }
  if not client or not other then return end
  t:note("info", client:info(t.job))
  t:note("info", client:info(t.job))
  t:note("info", client:info(t.job, { user_agent = "another" }))
  t:note("elsewhere", other:info(t.job))
  t:note("credits", client:credits())
  create(t, client)
  t:note("info", client:info(t.job))
end, function(t) t:make_job() end, NEWER)

-- The addresses stand for machines that are not this one: all goes through a proxy.
local PROXIED = "http://203.0.113.7"

local function proxied_client(t)
  return t:client { base_url = PROXIED, allow_http = true, proxy = t.service.url }
end

scenario("proxy", function(t)
  local client = proxied_client(t)
  if client then t:note("info", client:info("66160f989dfc997ac289037b")) end
end)

scenario("proxy download", function(t)
  t.service:fail { at = "*", redirect = "http://203.0.113.8/film.mp4" }
  local client = proxied_client(t)
  if not client then return end
  local op, err = client.core:download(client.settings, PROXIED .. "/film.mp4", t.out)
  if not op then return t:note("download", nil, err) end
  local kind, value = loop.next(op)
  t:note("download", kind == "done" and value or nil, value)
end)

scenario("retries", function(t)
  t.service:fail { at = "info", status = 503, times = 1 }
  local client = t:client { max_retries = 1, on_event = function() end }
  if client then t:note("info", client:info(t.job)) end
end, function(t) t:make_job() end)

scenario("errors", function(t)
  local client = t:client()
  if not client then return end
  t:note("unknown", client:info("66160f989dfc997ac289037b"))
  t.service:down()
  t:note("down", client:info(t.job))
  t.service:up()
  t.service:fail { at = "info", status = 429, retry_after = 0, times = "always" }
  t:note("refused", client:info(t.job))
end, function(t) t:make_job() end)

scenario("host loop", function(t)
  local client = t:client()
  if not client then return end
  local task = lipsync.spawn(client.info, client, t.job)
  while lipsync.step(0) > 0 do
    local engine, err = core.engine()
    if not engine then return t:note("engine", nil, err) end
    if not t.wait_until_readable(engine:pollfd()) then
      t:complain "the host waits in vain for the descriptor"
      break
    end
  end
  t:note("info", task:join())
end, function(t) t:make_job() end)

scenario("download", function(t)
  local client = t:client { on_progress = function() end }
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t) t:make_film() end)

scenario("download over", function(t)
  local client = t:client { overwrite = true }
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t)
  t:make_film()
  t:make_file()
end)

scenario("download again", function(t)
  local client = t:client()
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t) t:make_part() end)

scenario("download changed", function(t)
  local range = ("bytes %d-%d/%d"):format(t.part, t.part, t.part + 1)
  t.service:fail { at = "file", status = 206, body = "!", content_type = "video/mp4",
    headers = { ETag = '"another"', ["Content-Range"] = range } }
  local client = t:client()
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t)
  t:make_part()
  t.part = #t.film // 2
end)

scenario("download elsewhere", function(t)
  t.service:fail { at = "file", wrong_range = true }
  local client = t:client()
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t) t:make_part() end)

scenario("download beyond", function(t)
  local client = t:client()
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t)
  t:make_part()
  local part = assert(io.open(t.out .. ".part", "ab"))
  part:write(t.film) -- more than there is
  assert(part:close())
end)

-- Another program is quicker.
scenario("download beaten", function(t)
  local client = t:client { on_event = function() t:make_file() end }
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t) t:make_film() end)

scenario("download linked", function(t)
  local client = t:client()
  if client then t:note("download", client:download(t.job, t.out)) end
end, function(t) t:make_part { second_name = true } end)

scenario("copy", function(t)
  local client = t:client()
  if client then t:note("copy", core.copy(client.settings, t.from, t.out)) end
end, function(t)
  t:make_film()
  t.from = t.folder .. "/bought.mp4"
  local file = assert(io.open(t.from, "wb"))
  file:write(t.film)
  assert(file:close())
end)

scenario("digest", function(t)
  local digest = core.sha256 "abc"
  if digest and not digest:find "^ba7816bf.*15ad$" then t:complain("%s is none of abc", digest) end
  t:note("digest", digest, "not enough memory")
end)

scenario("generate again", function(t)
  local client = t:client { on_progress = function() end, on_event = function() end }
  if client then
    t:note("generate", client:generate({ video_url = t.video, audio_url = t.audio }, t.out))
  end
end, function(t) t:make_part() end)

scenario("generate", function(t)
  local client = t:client()
  if client then
    t:note("generate", client:generate({ video_url = t.video, audio_url = t.audio }, t.out))
  end
end)

scenario("webhooks", function(t)
  local account = { client_id = "an account", client_secret = ("secret"):rep(4) }
  local body, err = webhook.seal({ id = "sealed", status = "failed" }, account)
  t:note("seal", body and { id = "sealed" }, err)
  account.seen = webhook.seen()
  local event, why = webhook.open(body or t.body, account)
  t:note("open", event, why)
  if not event and why.kind ~= "io" then t:complain("a good delivery was called %s", why.name) end
end, function(t)
  t.body = assert(webhook.seal({ id = "sealed", status = "failed" },
    { client_id = "an account", client_secret = ("secret"):rep(4) }))
end)

return scenarios
