-- Prosody: the coroutines of its own wait, and it serves others meanwhile.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

-- Nothing but a web server that loads modules from where it runs.
local CONFIG = [[
  daemonize, run_as_root = false, true
  pidfile, data_path, plugin_paths = "prosody.pid", ".", { "." }
  log = { info = "*console" }
  network_backend = "%s"
  interfaces, http_ports, https_ports = { "127.0.0.1" }, { %d }, {}
  http_default_host = "localhost"
  c2s_ports, s2s_ports = {}, {}
  modules_disabled = { "s2s", "tls", "s2s_auth_certs" }
  VirtualHost "localhost"
    modules_enabled = { "lipsync", "try" }
]]

-- What every module here begins with.
local HEAD = [[
  local async, http, timer = require "util.async", require "net.http", require "util.timer"
  local lipsync = require "akool.lipsync"
  if not lipsync.use() then lipsync.use "prosody" end
  local function leave() prosody.main_thread:run(prosody.shutdown) end
]]

describe("under Prosody", function()
  local t = fixture.new(host.SERVICE)
  local page = snippets.under("docs/embedding.md", "Prosody", "lua")[1].text

  --- Start it with the module of the page and another one, which is told the port as PORT.
  local function run(begin, code, backend)
    local port = host.free_port()
    return begin(t, {
      program = "prosody -F --config ./prosody.cfg.lua", lua = "5.4",
      script = "mod_lipsync.lua", code = page,
      files = {
        ["prosody.cfg.lua"] = CONFIG:format(backend or "epoll", port),
        ["mod_try.lua"] = HEAD .. code:gsub("PORT", port),
      },
    })
  end

  it("the module of the page makes a film, and others are served meanwhile", function()
    local running = run(host.exercise, [[
      local answers, over = 0, false
      local function ping()
        http.request("http://127.0.0.1:PORT/", nil, function(_, code)
          if code > 0 and not over then answers = answers + 1 end
          if not over then timer.add_task(0.01, ping) end
        end)
      end
      module:hook_global("server-started", function()
        http.request("http://127.0.0.1:PORT/lipsync?video=https://example.com/clip.mp4"
          .. "&audio=https://example.com/voice.wav", nil, function(body, code)
          over = true
          print(code, body)
          print("answers", answers)
          leave()
        end)
        ping()
      end)
    ]])
    local said = running:ends_well()
    running:has_film "film.mp4"
    assert.is_truthy(said:find "200%s+film%.mp4")
    assert.is_true(tonumber(said:match "\nanswers%s+(%d+)") >= 3)
  end)

  for _, backend in ipairs { "epoll", "select" } do
    it("ten films are made while timers go on, and nothing is left: " .. backend, function()
      run(host.exercise, [[
        local ticks = 0
        module:hook_global("server-started", function()
          timer.add_task(0.01, function()
            ticks = ticks + 1
            return 0.01
          end)
          async.runner(function()
            require "support.exercise".run(function() return ticks end)
            leave()
          end):run(true)
        end)
      ]], backend):stood_it()
    end)
  end

  it("two coroutines of its own wait side by side, and tasks go on beside them", function()
    local said = run(host.start, [[
      module:hook_global("server-started", function()
        local left = 3
        local function ends(word)
          print(word)
          left = left - 1
          if left == 0 then leave() end
        end
        for _, word in ipairs { "one", "two" } do
          async.runner(function()
            lipsync.sleep(0.1)
            ends(word)
          end):run(true)
        end
        lipsync.spawn(function()
          lipsync.sleep(0.2)
          ends "three"
        end)
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "\none" and said:find "\ntwo" and said:find "\nthree")
  end)

  it("a call outside of a coroutine raises and says what to do", function()
    local said = run(host.start, [[
      module:hook_global("server-started", function()
        timer.add_task(0, function()
          print(pcall(lipsync.sleep, 1))
          leave()
        end)
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "false%s[^\n]*lipsync%.spawn")
  end)

  it("what a task raises is logged", function()
    local said = run(host.start, [[
      module:hook_global("server-started", function()
        lipsync.spawn(function()
          timer.add_task(0.1, leave)
          error("nobody joins", 0)
        end)
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "lipsync%s+error%s+[^\n]*nobody joins")
  end)

  it("it may be shut down with work under way", function()
    local said = run(host.start, [[
      module:hook_global("server-started", function()
        lipsync.spawn(lipsync.sleep, 60)
        local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
        lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
        async.runner(function() lipsync.sleep(60) end):run(true)
        async.runner(function()
          lipsync.sleep(0.05)
          print "left"
          leave()
        end):run(true)
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "\nleft")
  end)
end)
