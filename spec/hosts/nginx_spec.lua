-- nginx: requests, timers and light threads wait in its workers, and it serves others meanwhile.

local fixture = require "support.fixture"
local host = require "support.host"
local lfs = require "lfs"
local nginx = require "support.nginx"
local server = require "support.server"
local snippets = require "support.snippets"
local sockets = require "support.sockets"

local PAGE = snippets.under("docs/embedding.md", "nginx", "nginx")[1].text

-- What the page leaves to Debian's own configuration.
local PROGRAM = nginx.program .. [[ -p "$PWD" -c SCRIPT -e stderr -g "daemon off; pid nginx.pid;]]
  .. [[ user root; env AKOOL_BASE_URL; env SILENT_URL;"]]
local PATHS = [[http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  lua_check_client_abort on;
]]

local HEAD = PAGE:match "^(load_module.-\n)\n"
  .. "worker_processes 1;\nenv AKOOL_API_KEY;\nevents {}\n"

describe("under nginx", function()
  local t = fixture.new(host.SERVICE)

  --- Start nginx with a configuration.
  local function start(code)
    code = code:gsub("http {\n", PATHS, 1):gsub("127%.0%.0%.1:8080", "127.0.0.1:PORT")
    return server.start(t, { program = PROGRAM, lua = "jit", code = code, pid = "nginx.pid" })
  end

  --- Start it with one worker that has these locations: path → Lua.
  local function serve(locations, init)
    local lines = {}
    for path, code in pairs(locations) do
      lines[#lines + 1] = ("location = %s {\n%s}\n"):format(path,
        code:find "_by_lua_block" and code or "content_by_lua_block {" .. code .. "}\n")
    end
    return start(HEAD .. ([[
http {
  init_by_lua_block {
    lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
    VIDEO, AUDIO = "https://example.com/clip.mp4", "https://example.com/voice.wav"
    lipsync.use "nginx"
    INIT
  }
  server {
    listen 127.0.0.1:PORT;
    location = /hello { content_by_lua_block { ngx.print "hello" } }
    LOCATIONS
  }
}]]):gsub("%u%u%u%u+", { INIT = init or "", LOCATIONS = table.concat(lines) }))
  end

  it("the configuration of the page makes films, for who waits and for who does not", function()
    local run = start(PAGE)
    local bodies = run:get_all { "/film", "/order" }
    assert.equal("film.mp4\n", bodies[1])
    local id = bodies[2]:match "^(%x+)\n$"
    run:stop "sigquit" -- workers end when their tasks have
    run:has_film "film.mp4"
    run:has_film(id .. ".mp4")
  end)

  it("ten films are made while its timers go on, and nothing is left behind", function()
    t.service:fail { at = "create", delay = 0.3, times = "always" }
    local run = serve({ ["/exercise"] = [[
      local exercise = require "support.exercise"
      local ticks = 0
      ngx.timer.every(0.01, function() ticks = ticks + 1 end)
      exercise.run(function() return ticks end)
      ngx.print "done"
    ]] })
    assert.equal("done", run:get "/exercise")
    run:tell()
    run:stood_it()
  end)

  it("ten of its light threads wait at once, each for a job, and others are served", function()
    t.service:fail { at = "create", delay = 0.3, times = "always" }
    local run = serve({ ["/films"] = [[
      local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
      local threads = {}
      for i = 1, 10 do
        threads[i] = ngx.thread.spawn(function()
          assert(client:generate({ video_url = VIDEO, audio_url = AUDIO }, i .. ".mp4"))
        end)
      end
      for i = 1, 10 do assert(ngx.thread.wait(threads[i])) end
      ngx.print "done"
    ]] })
    local films, served = sockets.get(run.port, "/films"), 0
    repeat
      assert.equal("hello", run:get "/hello")
      if not films.done then served = served + 1 end
    until films.done
    assert.is_truthy(films.text:find "done$", films.text)
    assert.is_true(served > 0) -- none, if it had been busy until the films were there
    run:stop()
    for i = 1, 10 do run:has_film(i .. ".mp4") end
  end)

  it("ten requests wait at once, in two workers that each have an engine", function()
    local code = HEAD:gsub("worker_processes 1", "worker_processes 2") .. [[
http {
  init_by_lua_block {
    lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
    MASTERS = core.engine()
    MASTERS:pollfd()
    lipsync.use "nginx"
  }
  server {
    listen 127.0.0.1:PORT reuseport;
    location = /film {
      content_by_lua_block {
        local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
        local name = ngx.var.arg_name
        local file = assert(client:generate({
          video_url = "https://example.com/clip.mp4", audio_url = "https://example.com/voice.wav",
        }, name))
        ngx.print(file.path, " ", core.engine() ~= MASTERS)
      }
    }
  }
}
]]
    local run = start(code)
    local paths = {}
    for i = 1, 10 do paths[i] = ("/film?name=%d.mp4"):format(i) end
    for i, body in ipairs(run:get_all(paths)) do assert.equal(i .. ".mp4 true", body) end
    run:stop()
    for i = 1, 10 do run:has_film(i .. ".mp4") end
  end)

  it("each phase of a request that may wait does, and timers do", function()
    local run = serve({ ["/phases"] = [[
      set_by_lua_block $slept { return "" }
      rewrite_by_lua_block { ngx.var.slept = ngx.var.slept .. tostring(lipsync.sleep(0.01)) }
      access_by_lua_block { ngx.var.slept = ngx.var.slept .. " " .. tostring(lipsync.sleep(0.01)) }
      content_by_lua_block {
        local slept
        ngx.timer.at(0, function() slept = lipsync.sleep(0.01) end)
        while slept == nil do lipsync.sleep(0.005) end
        ngx.print(ngx.var.slept, " ", tostring(slept))
      }
    ]] })
    assert.equal("true true true", run:get "/phases")
    run:stop()
  end)

  it("a coroutine may wait; a call where nginx cannot wait raises and says what to do", function()
    local run = serve({
      ["/filter"] = [[
        header_filter_by_lua_block {
          local _, err = pcall(lipsync.sleep, 1)
          ngx.header.Problem = err
        }
        content_by_lua_block { ngx.print "filtered" }
      ]],
      ["/coroutine"] = [[
        ngx.print(coroutine.wrap(function() return lipsync.sleep(0.02) end)())
      ]],
    }, [[
      ngx.log(ngx.ERR, select(2, pcall(lipsync.sleep, 1)))
      ngx.log(ngx.ERR, select(2, pcall(lipsync.create, { video_url = VIDEO, audio_url = AUDIO })))
    ]])
    local answer = sockets.get(run.port, "/filter")
    sockets.turn_until(function() return answer.done end)
    assert.is_truthy(answer.text:find('Problem: nginx cannot wait in its phase "header_filter"',
      1, true), answer.text)
    assert.equal("true", run:get "/coroutine")
    local said = run:stop()
    local _, count = said:gsub('nginx cannot wait in its phase "init"', "")
    assert.equal(2, count, said)
    assert.equal(0, #t.service:requests "create")
  end)

  it("a task that one request spawned goes on without it, and may be joined by another", function()
    local run = serve({
      ["/spawn"] = [[
        local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
        local urls = { video_url = VIDEO, audio_url = AUDIO }
        task = lipsync.spawn(client.generate, client, urls, "a.mp4")
        ngx.print "spawned"
      ]],
      ["/join"] = "ngx.print(assert(task:join()).path)",
    })
    assert.equal("spawned", run:get "/spawn")
    assert.equal("a.mp4", run:get "/join")
    run:stop()
    run:has_film "a.mp4"
  end)

  it("what a request waited for is let go when its client goes away", function()
    local run = serve({
      ["/stuck"] = [[
        local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
        mute:info "66160f989dfc997ac289037b"
      ]],
      ["/calls"] = [[
        collectgarbage()
        collectgarbage()
        ngx.print(core.engine():stats().calls, " ", tostring(lipsync.sleep(0.02)))
      ]],
    })
    local stuck = sockets.get(run.port, "/stuck")
    sockets.turn_until(function() return run:get "/calls" == "1 true" end)
    stuck.leave()
    assert.is_true(sockets.turn_until(function() return run:get "/calls" == "0 true" end))
    run:stop()
  end)

  it("ends at once when it is told to, with work under way", function()
    local run = serve({
      ["/stuck"] = [[
        local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
        lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
        mute:info "66160f989dfc997ac289037b"
      ]],
      ["/calls"] = "ngx.print(core.engine():stats().calls)",
    })
    local stuck = sockets.get(run.port, "/stuck")
    assert.is_true(sockets.turn_until(function() return run:get "/calls" == "2" end))
    run:stop()
    stuck.leave()
  end)

  it("an error in a task that nobody joined is in its log", function()
    local run = serve({ ["/spawn"] = [[
      lipsync.spawn(function()
        lipsync.sleep(0.01)
        error "nobody joins me"
      end)
      ngx.print "spawned"
    ]] })
    assert.equal("spawned", run:get "/spawn")
    assert.is_truthy(run:stop "sigquit":find "%[error%].-nobody joins me")
    assert.is_nil(lfs.attributes(run.folder .. "/core"))
  end)
end)
