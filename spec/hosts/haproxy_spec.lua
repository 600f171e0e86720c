-- HAProxy: its tasks, actions and services wait, and it serves others meanwhile.

local fixture = require "support.fixture"
local host = require "support.host"
local server = require "support.server"
local snippets = require "support.snippets"
local sockets = require "support.sockets"

local CONFIGURATION = snippets.under("docs/embedding.md", "HAProxy", "haproxy")[1].text
  :gsub("film%.lua", "script.lua"):gsub("127%.0%.0%.1:8080", "127.0.0.1:PORT")
  :gsub("global\n", "global\n  nbthread 2\n")
  .. "  http-request return status 200 content-type text/plain string hello if { path /hello }\n"
local PROGRAM = [[sh -c 'PATH=$PATH:/usr/sbin; echo $$ >haproxy.pid;]]
  .. [[ exec haproxy -db -f haproxy.cfg 2>log']]

-- A service "film" that answers with what `work` returns, as text.
local SERVICE = [[
  local lipsync, engine = require "akool.lipsync", require "akool.lipsync.core"
  local VIDEO, AUDIO = "https://example.com/clip.mp4", "https://example.com/voice.wav"
  lipsync.use "haproxy"
  local function work(path) %s end
  core.register_service("film", "http", function(applet)
    local text = tostring(work(applet.path))
    applet:set_status(200)
    applet:add_header("Content-Length", #text)
    applet:start_response()
    applet:send(text)
  end)
]]

describe("under HAProxy", function()
  local t = fixture.new(host.SERVICE)

  local function start(code, rules)
    return server.start(t, { program = PROGRAM, lua = "5.3", code = code, pid = "haproxy.pid",
      signal = "sigusr1", files = { ["haproxy.cfg"] = CONFIGURATION .. (rules or "") } })
  end

  --- What it has said so far.
  local function log(run)
    return fixture.read(run.folder .. "/log")
  end

  local function serve(work, rules)
    return start(SERVICE:format(work), rules)
  end

  it("the configuration and the script of the page make a film", function()
    local run = start(snippets.under("docs/embedding.md", "HAProxy", "lua")[1].text)
    assert.equal("film.mp4", run:get "/film")
    run:stop()
    run:has_film "film.mp4"
  end)

  it("ten films are made while its own tasks go on, and nothing is left behind", function()
    t.service:fail { at = "create", delay = 0.3, times = "always" }
    local run = serve [[
      local ticks, over = 0, false
      core.register_task(function()
        while not over do
          core.msleep(10)
          ticks = ticks + 1
        end
      end)
      require("support.exercise").run(function() return ticks end)
      over = true
      return "done"
    ]]
    assert.equal("done", run:get "/film")
    run:tell()
    run:stood_it()
  end)

  it("ten of its tasks wait at once, each for a job, and others are served", function()
    t.service:fail { at = "create", delay = 0.3, times = "always" }
    local run = serve [[
      local client, through = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } }), 0
      for i = 1, 10 do
        core.register_task(function()
          assert(client:generate({ video_url = VIDEO, audio_url = AUDIO }, i .. ".mp4"))
          through = through + 1
        end)
      end
      while through < 10 do core.msleep(5) end
      return "done"
    ]]
    local films, served = sockets.get(run.port, "/film"), 0
    repeat
      assert.equal("hello", run:get "/hello")
      if not films.done then served = served + 1 end
    until films.done
    assert.is_truthy(films.text:find "done$", films.text)
    assert.is_true(served > 0) -- none, if it had been busy until the films were there
    run:stop()
    for i = 1, 10 do run:has_film(i .. ".mp4") end
  end)

  it("ten requests wait at once, and a task goes on without the one that spawned it", function()
    local run = serve([[
      local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
      local name = path:match "%w+$"
      if name == "film" then
        local urls = { video_url = VIDEO, audio_url = AUDIO }
        TASK = lipsync.spawn(client.generate, client, urls, "a.mp4")
        return "spawned"
      elseif name == "join" then
        return assert(TASK:join()).path
      end
      return assert(client:generate({ video_url = VIDEO, audio_url = AUDIO }, name .. ".mp4")).path
    ]], "  http-request use-service lua.film if { path_beg /film/ }\n")
    assert.equal("spawned", run:get "/film")
    assert.equal("a.mp4", run:get "/film/join")
    local paths = {}
    for i = 1, 10 do paths[i] = "/film/" .. i end
    for i, body in ipairs(run:get_all(paths)) do assert.equal(i .. ".mp4", body) end
    run:stop()
    run:has_film "a.mp4"
    for i = 1, 10 do run:has_film(i .. ".mp4") end
  end)

  it("a call where HAProxy cannot wait raises and says what to do", function()
    local run = serve([[
      local own = coroutine.wrap(function() return select(2, pcall(lipsync.sleep, 1)) end)
      return own()
    ]] .. [[ end
      core.register_converters("wait", function()
        return tostring(select(2, pcall(lipsync.sleep, 1)))
      end)
      core.register_action("wait", { "http-req" }, function(txn)
        txn:set_var("txn.waited", tostring(lipsync.sleep(0.02)))
      end)
      core.log(core.alert, "starting: " .. select(2, pcall(lipsync.sleep, 1)))
      core.log(core.alert, "starting: "
        .. select(2, pcall(lipsync.create, { video_url = VIDEO, audio_url = AUDIO })))
      do
    ]], [[
  http-request lua.wait if { path /action }
  http-request return status 200 lf-string "%[var(txn.waited)]" content-type a/b if { path /action }
  http-request return status 200 lf-string "%[path,lua.wait]" content-type a/b if { path /fetch }
]])
    assert.is_truthy(run:get "/film":find "^HAProxy cannot wait here")
    assert.equal("true", run:get "/action")
    run:get "/fetch"
    run:stop()
    local said = log(run)
    assert.is_truthy(said:find "converter 'wait': yield functions .- are not allowed", said)
    local _, count = said:gsub("starting: HAProxy cannot wait here", "")
    assert.equal(2, count, said)
    assert.equal(0, #t.service:requests "create")
  end)

  it("ends when it is told to, with work under way", function()
    local run = serve [[
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
      lipsync.sleep(0.02)
      return engine.engine():stats().calls
    ]]
    assert.equal("1", run:get "/film")
    run:stop()
  end)

  it("an error in a task that nobody joined is in its log", function()
    local run = serve [[
      local task = lipsync.spawn(function() error "nobody joins me" end)
      while tostring(task):find "under way" do core.msleep(5) end
      return "done"
    ]]
    assert.equal("done", run:get "/film")
    assert.is_true(sockets.turn_until(function() return log(run):find "nobody joins me" ~= nil end))
    run:stop()
  end)
end)
