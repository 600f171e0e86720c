-- webhooks: what stands in examples/webhook receives what the service delivers.

local fixture = require "support.fixture"
local nginx = require "support.nginx"
local server = require "support.server"
local sockets = require "support.sockets"

local PROGRAM = nginx.program .. [[ -p "$PWD" -c SCRIPT -e stderr -g "daemon off; pid nginx.pid;]]
  .. [[ user root; worker_processes 2;"]]

-- What the example leaves to Debian's own configuration.
local PATHS = [[http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
]]

describe("webhooks", function()
  local t = fixture.new { manual_clock = true }

  --- Start one of the examples, on a port of its own.
  local function start(name, options)
    options.code = fixture.read("examples/webhook/" .. name):gsub("8080", "PORT")
      :gsub("http {\n", PATHS, 1)
    options.environment = { AKOOL_CLIENT_ID = fixture.secrets.client_id,
      AKOOL_CLIENT_SECRET = fixture.secrets.client_secret }
    return server.start(t, options)
  end

  --- A job whose end is delivered there: refused once because it was spoilt, then twice good.
  local function deliver_to(run)
    local job = assert(t.client():create { video_url = t.video, audio_url = t.audio,
      webhook_url = ("http://127.0.0.1:%d/akool"):format(run.port) })
    t.service:fail { at = "webhook", delivery = "tampered" }
    t.service:fail { at = "webhook", delivery = "replayed" }
    t.service:advance(60)
    local delivery
    sockets.turn_until(function()
      delivery = t.service:deliveries()[1]
      return #delivery.answers == 3
    end)
    assert.same({ "delivered", { 400, 200, 200 } }, { delivery.state, delivery.answers })
    return job.id
  end

  it("reach nginx, whose workers know each other's", function()
    local run = start("nginx.conf", { lua = "jit", program = PROGRAM, pid = "nginx.pid" })
    local id = deliver_to(run)
    assert.equal("completed\n", run:get("/status?id=" .. id))
    assert.equal("unknown\n", run:get "/status?id=another")
    assert.is_truthy(run:get("/akool"):find("405", 1, true))
    run:stop "sigquit"
  end)

  it("reach lua-http", function()
    local run = start("http.lua", { lua = "5.1", pid = "pid",
      program = [[sh -c 'lua5.1 "$0" & echo $! >pid; wait; exit 0' SCRIPT]] })
    local id = deliver_to(run)
    assert.equal("", run:get "/akool")
    local said = run:stop()
    assert.is_truthy(said:find("^" .. id .. "\tcompleted\thttp://[^\n]+\n$"), said)
  end)
end)
