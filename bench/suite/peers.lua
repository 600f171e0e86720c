-- peers: what a Lua program would use instead, as Debian packages it, with the same request and
-- lua-cjson to decode the answer.

local measure = require "measure"
local report = require "report"

local PATH = "/api/open/v3/content/video/infobymodelid?video_model_id=66160f989dfc997ac289037b"

-- `many`: can have more than one request under way. `slow`: a tenth of the requests will do.
local PEERS = {
  { name = "floor", command = { "build/bench/floor", "info" }, many = true, tls = true,
    kept = true },
  { name = "ours", command = { "lua5.4", "bench/ours/info.lua" }, many = true, tls = true,
    base = true, kept = true },
  { name = "lua-curl, Lua 5.1", command = { "lua5.1", "bench/peers/lua-curl.lua" }, tls = true,
    kept = true },
  { name = "lua-http, connections kept by hand, Lua 5.3", many = true, kept = true,
    command = { "lua5.3", "bench/peers/lua-http-kept.lua" } },
  { name = "lua-http, Lua 5.3", command = { "lua5.3", "bench/peers/lua-http.lua" }, many = true,
    tls = true },
  { name = "copas + lua-socket, Lua 5.1", command = { "lua5.1", "bench/peers/copas.lua" },
    many = true },
  { name = "lua-socket, lua-sec, Lua 5.4", command = { "lua5.4", "bench/peers/lua-socket.lua" },
    tls = true },
  { name = "curl command, io.popen", command = { "lua5.4", "bench/peers/curl-command.lua" },
    tls = true, slow = true },
}

--- How many requests: fewer where each needs a new connection, or a process.
local function count(peer, way)
  if peer.slow then return 200 end
  return peer.kept and 10000 or way.tls and 500 or 2000
end

local function subject(peer, way, service, callers)
  local n = count(peer, way)
  local url = peer.base and service.url or service.url .. PATH
  return { name = peer.name, run = function(warming)
    local words = { table.unpack(peer.command) }
    for _, word in ipairs { url, callers, warming and n // 10 or n } do
      words[#words + 1] = tostring(word)
    end
    if peer.name == "floor" then
      words[#words + 1], words[#words + 2] = "plain", "1.1"
    end
    words[#words + 1] = service.ca_file
    local numbers = assert(measure.run(words))
    return { rate = numbers.requests / numbers.seconds, cpu = numbers.cpu / numbers.requests * 1e6,
      peak = numbers.peak_kb / 1024 }
  end }
end

return {
  title = "Peers",
  run = function(bench)
    for _, way in ipairs { { title = "plain HTTP" }, { title = "TLS, HTTP/1.1", tls = true } } do
      local service = bench.start(way)
      for _, callers in ipairs { 1, 64 } do
        report.table(("%s, %d at once"):format(way.title, callers),
          { "client", "req/s", "CPU us per request", "CPU / ours", "peak MiB" })
        local subjects, absent = {}, {}
        for _, peer in ipairs(PEERS) do
          if (callers == 1 or peer.many) and (not way.tls or peer.tls) then
            local one = subject(peer, way, service, callers)
            local ok, why = pcall(one.run, true)
            if ok then
              subjects[#subjects + 1] = one
            else
              absent[#absent + 1] = ("%s: missing (%s)"):format(peer.name,
                tostring(why):match("[^\n]*"))
            end
          end
        end
        local medians = measure.medians(subjects, bench.rounds)
        for _, one in ipairs(subjects) do
          local numbers = medians[one.name]
          report.row { one.name, ("%.0f"):format(numbers.rate), ("%.1f"):format(numbers.cpu),
            ("%.1f"):format(numbers.cpu / medians.ours.cpu), ("%.1f"):format(numbers.peak) }
        end
        for _, line in ipairs(absent) do report.note(line) end
      end
    end
    report.note("The floor decodes nothing. Those whose connection is kept: the floor, ours, "
      .. "lua-curl, and lua-http by hand; the others make a new one for each request.")
  end,
}
