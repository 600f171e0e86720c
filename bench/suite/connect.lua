-- connect: a new TLS connection for every request, trusting a bundle of the system's size: what a
-- program pays when it asks so seldom that no connection is kept.

local uv = require "luv"
local measure = require "measure"
local report = require "report"

local BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
local REQUESTS, WARM_UP, CALLERS = 1000, 20, 4
local PATH = "/api/open/v3/content/video/infobymodelid?video_model_id=66160f989dfc997ac289037b"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

--- The system's certificates and the service's own issuer.
local function bundle(service)
  local path = service.dir .. "/bundle.pem"
  local file = assert(io.open(path, "w"))
  assert(file:write(read(BUNDLE), read(service.ca_file)))
  assert(file:close())
  return path
end

--- A command that sees `file` where the system's bundle is: in a mount namespace of its own.
local function with_bundle(file, command)
  return { "unshare", "--map-root-user", "--mount", "sh", "-c",
    ('mount --bind "%s" "%s" && exec "$@"'):format(file, BUNDLE), "sh", table.unpack(command) }
end

local function subject(name, service, command_of)
  return { name = name, run = function(warming)
    local before = service:counted().connections
    local count = warming and WARM_UP or REQUESTS
    local numbers = assert(measure.run(command_of(tostring(count))))
    local connections = service:counted().connections - before
    assert(connections >= count, "connections were kept")
    return { ms = numbers.cpu / connections * 1e3 }
  end }
end

return {
  title = "Connections",
  run = function(bench)
    if not uv.fs_stat(BUNDLE) then error(BUNDLE .. " is not there") end
    local service = bench.start { tls = true, directives = "keepalive_timeout 0;" }
    local file, callers = bundle(service), tostring(CALLERS)
    local function floor_command(kind, n)
      return { "build/bench/floor", "info", service.url .. PATH, callers, n, kind, "1.1", file }
    end
    local subjects = {
      subject("resuming", service, function(n) return floor_command("plain", n) end),
      subject("floor", service, function(n) return floor_command("unresumed", n) end),
      subject("ca_file", service, function(n)
        return { "lua5.4", "bench/ours/info.lua", service.url, callers, n, file }
      end),
    }
    local hidden = measure.run(with_bundle(file, { "sh", "-c", 'echo \'{"ok":1}\'' })) ~= nil
    if hidden then
      subjects[4] = subject("default", service, function(n)
        return with_bundle(file, { "lua5.4", "bench/ours/info.lua", service.url, callers, n })
      end)
    end
    local medians = measure.medians(subjects, bench.rounds)
    report.table("CPU per connection, handshake and request, ms", { "", "ms", "of the floor" })
    local floor = medians.floor.ms
    local function row(title, name)
      local ms = medians[name].ms
      report.row { title, report.bar("connect, " .. title .. ", ms", ms, { most = 1 }),
        report.bar("connect, " .. title .. ", of the floor", ms / floor, { most = 1.15 }) }
    end
    local function floor_row(title, ms)
      report.row { title, ("%.2f"):format(ms), ("%.2f"):format(ms / floor) }
    end
    floor_row("floor", floor)
    floor_row("floor that takes up TLS sessions", medians.resuming.ms)
    row("ours, the bundle as ca_file", "ca_file")
    if hidden then
      row("ours, no ca_file", "default")
    else
      report.note("Without a ca_file: not measured, since this system lets nobody put the "
        .. "service's issuer into the system's bundle for one process (unshare --mount).")
    end
    report.note("With a libcurl older than 8.8, which frees TLS sessions twice when memory runs "
      .. "out, the library takes up none of an earlier connection; nor does its floor.")
  end,
}
