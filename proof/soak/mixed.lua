-- mixed: everything that can happen to a call, again and again: jobs created, followed to their end
-- and downloaded, answers of every bad kind, connections cut, tasks cancelled, clients made anew.

local uv = require "luv"
local lipsync = require "akool.lipsync"
local usage = require "soak.usage"

local CALLERS = 16
local ID = "66160f989dfc997ac289037b"
local JOB = { video_url = "https://example.com/a.mp4", audio_url = "https://example.com/a.wav" }

--- A client of one of the server's corners.
local function client_of(server, corner, options)
  options = options or {}
  options.api_key, options.base_url, options.max_retries = "soak", server.url .. corner, 0
  return assert(lipsync.new(options))
end

local function expect(kind, value, err)
  if value ~= nil or err.kind ~= kind then
    error(("an error of kind %s was due, not %s"):format(kind, tostring(err)))
  end
end

local function steps(server, path)
  local quick = { poll = { first = 1e-3, factor = 1, max = 1e-3, jitter = 0.2 } }
  local fine, ending = client_of(server, ""), client_of(server, "/ending", quick)
  local missing, gateway = client_of(server, "/missing"), client_of(server, "/gateway")
  local broken, cut, short = client_of(server, "/broken"), client_of(server, "/cut"),
    client_of(server, "/short")
  local watched = client_of(server, "", { on_event = function() end })
  return {
    function() assert(fine:info(ID)) end,
    function() assert(watched:info(ID)) end,
    function() assert(fine:info(ID, { timeout = 10 })) end,
    function() assert(ending:wait(ID)) end,
    function() assert(ending:poll(ID)()) end, -- and then nobody follows it any more
    function() expect("not_found", missing:info(ID)) end,
    function() expect("server", gateway:info(ID)) end,
    function() expect("protocol", broken:info(ID)) end,
    function() expect("network", cut:info(ID)) end,
    function() assert(short:info(ID)) end,
    function() assert(client_of(server, ""):info(ID)) end,
    function(n)
      if n % 16 ~= 0 then return end -- each has a connection of its own
      assert(fine:create(JOB).id)
      expect("network", cut:create(JOB))
    end,
    function(n)
      if n % 16 ~= 0 then return end
      local file = assert(fine:download({ id = ID, status = "completed",
        video = server.url .. "/media/film.mp4" }, ("%s/%d.mp4"):format(path, n)))
      os.remove(file.path)
    end,
    function()
      local task = lipsync.spawn(function() return fine:wait(ID) end)
      lipsync.sleep(1e-3)
      task:cancel()
      expect("cancelled", task:join())
    end,
  }
end

return function(server, sizes, row)
  local path = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/akool-lipsync-soak-XXXXXX"))
  local all, left = steps(server, path), nil
  local function work()
    while left > 0 do
      left = left - 1
      all[left % #all + 1](left)
    end
  end
  usage.watch("mixed", sizes.mixed, function(n)
    left = n
    lipsync.run(function()
      local tasks = {}
      for i = 1, CALLERS do tasks[i] = lipsync.spawn(work) end
      for _, task in ipairs(tasks) do task:join() end
    end)
  end, row)
  uv.fs_rmdir(path)
end
