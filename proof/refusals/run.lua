-- run.lua MODULES [--full | --brief] [--only SCENARIO] [--kind KIND] [--mode MODE] [--index N]:
-- whatever the core asks of libcurl, libcrypto, memory and the system is refused in turn, call by
-- call, in scenarios with a service; MODULES is where the core built for that (refusals.c) lies.
-- Usually, not all of the calls of a scenario with many; --full is all, --brief is few, and ends at
-- the first that is wrong. However it ends:
--
--   * every call of the library says what it did, or why not, and in time; at once, if libcurl or the
--     poller cannot go on;
--   * a create that says that it made nothing made nothing, and none is made twice;
--   * a film is whole under its name, or not there, and no file system has to have links;
--   * nothing is asked with an option of libcurl's or a header missing;
--   * no op, exchange, task or descriptor stays, and the same done again succeeds.

local modules = table.remove(arg, 1)
package.cpath = modules .. "/?.so;" .. package.cpath

local core = require "akool.lipsync.core"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local refusals = assert(package.loadlib(modules .. "/akool/lipsync/core.so", "luaopen_refusals"))()
local scenarios = require "proof.refusals.scenarios"
local uv = require "luv"

local COLUMNS = {
  { kind = "memory", modes = { "once", "always" } },
  { kind = "libcurl", modes = { "once", "always" } },
  { kind = "options", modes = { "once" } },
  { kind = "libcrypto", modes = { "once", "always" } },
  { kind = "polling", modes = { "once", "always", "signal" } },
  { kind = "files", modes = { "once", "always", "signal" } },
}
local USUAL, BRIEF = 60, 12 -- indexes of a cell: the first so many, then about so many of the rest
local ROW = "%-16s %-10s %-7s %7s %9s  %s"
local PATIENCE = 8 -- seconds for a scenario: its calls have deadlines of one or two
local COMPLAINTS = 5 -- of one cell that are shown
local EARLIER = "an earlier film"
local CRUCIAL = { memory = 60, options = 80 } -- so many first ones even if --brief
local WORDED = { -- scenarios in which the service has words for a failure, which may be lost
  ["token lost"] = true, proxy = true, retries = true, errors = true, ["newer libcurl"] = true,
}
local DRIVING = { epoll_wait = true, epoll_ctl = true, curl_multi_socket_action = true }
local CREDENTIALS = { api_key = "a-key", client_id = "an-id", client_secret = "a-secret" }

local wanted, most = {}, USUAL
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match("^%-%-(%l+)$")
    if name == "full" then
      most, i = math.huge, i + 1
    elseif name == "brief" then
      most, i = BRIEF, i + 1
    elseif name == "only" or name == "kind" or name == "mode" or name == "index" then
      wanted[name], i = assert(arg[i + 1], "what is the " .. name .. "?"), i + 2
    else
      error("what is " .. arg[i] .. "?", 0)
    end
  end
end

local function descriptors()
  local count = 0
  for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
  return count
end

--- Watch a descriptor as a host would. False if it does not become readable.
local function wait_until_readable(descriptor)
  local poll, patience, readable = uv.new_poll(descriptor), uv.new_timer(), nil
  poll:start("r", function() readable = true end)
  uv.update_time()
  patience:start(PATIENCE * 1000, 0, function() readable = false end)
  repeat uv.run "once" until readable ~= nil
  poll:close()
  patience:close()
  uv.run "nowait"
  return readable
end

-- Trials -----------------------------------------------------------------------------------------

local Trial = {}
Trial.__index = Trial

function Trial:complain(...)
  self.complaints[#self.complaints + 1] = string.format(...)
end

--- A quick client, or nil when it could not be made.
function Trial:client(given)
  local all = {
    api_key = self.api_key, base_url = self.service.url, max_retries = 0, timeout = 0.5,
    connect_timeout = 0.5, create_timeout = 0.5, stall_timeout = 0.5, wait_timeout = 1,
    poll = { first = 0.005, max = 0.01, factor = 1, jitter = 0 },
  }
  for name, value in pairs(given or {}) do
    all[name] = value
    if name == "api_key" and value == false then all[name] = nil end
  end
  local client, err = lipsync.new(all)
  self:note("client", client, err)
  return client
end

--- What a call answered.
function Trial:note(what, value, err)
  if value then
    self.successes = self.successes + 1
    if what == "download" or what == "generate" or what == "copy" then self.downloaded = true end
  elseif type(err) == "string" and err:find("not enough memory", 1, true) then
    self.failures, self.short = self.failures + 1, true -- raised in a task, as Lua's own would be
  elseif type(err) ~= "table" or type(err.kind) ~= "string" or #tostring(err) < 10 then
    self:complain("%s answered nil and %s", what, tostring(err))
  else
    self.failures = self.failures + 1
    self.short = self.short or tostring(err):find("memory ran out", 1, true)
    if self.mode == "always" and DRIVING[refusals.refused()] and err.kind == "timeout" then
      self:complain("%s waited until its time was over: %s", what, tostring(err))
    end
    if (what == "create" or what == "generate") and not err.maybe_created and not err.job
      and #self.service:jobs() > self.jobs then
      self:complain("%s says that there is no job, but there is: %s", what, tostring(err))
    end
  end
end

function Trial:make_job()
  self.job = assert(self:client():create { video_url = self.video, audio_url = self.audio }).id
  self.jobs = 1
end

function Trial:make_film()
  self:make_job()
  self.service:advance(60)
end

--- A film of which an earlier download brought a part, which may have a second name.
function Trial:make_part(options)
  self:make_film()
  self.service:fail { at = "file", cut = #self.film // 2 }
  local file = self:client():download(self.job, self.out, { max_retries = 0 })
  assert(not file and lfs.attributes(self.out .. ".part", "size"), "no part was left")
  if options and options.second_name then
    assert(uv.fs_link(self.out .. ".part", self.folder .. "/second"))
  end
  self.service:clear()
end

--- Another film of that name.
function Trial:make_file()
  local file = assert(io.open(self.out, "wb"))
  file:write(EARLIER)
  assert(file:close())
end

--- What lies under the final name is what was there before, or the film.
function Trial:check_film()
  local file = io.open(self.out, "rb")
  local content = file and file:read("*a")
  if file then file:close() end
  if self.downloaded then
    if content ~= self.film then self:complain("no film, although the call says so") end
  elseif content and content ~= EARLIER and content ~= self.film then
    self:complain("a file of %d bytes, which is not the film", #content)
  end
end

local function clean(folder)
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then assert(os.remove(folder .. "/" .. name)) end
  end
end

--- Lead one scenario. Returns the trial, how many calls of the kind there were, and which was refused.
local function try(common, scenario, kind, mode, index)
  local t = setmetatable({ complaints = {}, successes = 0, failures = 0, jobs = 0 }, Trial)
  for name, value in pairs(common) do t[name] = value end
  t.service:reset()
  t.service:up()
  clean(t.folder)
  core.engine():close()
  if scenario.prepare then scenario.prepare(t) end
  refusals.pretend(scenario.libcurl)
  core.engine():close()
  collectgarbage()
  local before, began = descriptors(), uv.hrtime()
  t.successes, t.failures = 0, 0

  t.mode = mode
  refusals.arm(kind, mode, index)
  local fine, why = pcall(scenario.run, t)
  local asked, refused = refusals.disarm()

  if not fine then -- as Lua does when its own memory runs out
    t.failures, t.short = t.failures + 1, true
    if not tostring(why):find("memory") then t:complain("it raised: %s", tostring(why)) end
  end
  if kind == "options" and refused and not t.short then
    t:complain("it was missing, and nobody said so")
  end
  if refused == "strdup" and mode == "once" and not t.short and not WORDED[scenario.name] then
    t:complain("a text was left out, and nobody said so")
  end
  if refused == "link" and mode == "once" and not t.downloaded then
    t:complain("a film needs a second name to have a first")
  end
  local took = (uv.hrtime() - began) / 1e9
  if took > PATIENCE then t:complain("it took %.1f s", took) end
  local deadline = core.now() + PATIENCE
  while core.now() < deadline do -- tasks that an error left behind
    local stepped, left = pcall(lipsync.step, 0.01)
    if stepped and left == 0 then break end
  end
  if lipsync.step(0) > 0 then t:complain("a task was left behind") end
  collectgarbage()
  collectgarbage()
  local stats = core.engine():stats()
  if stats.calls + stats.running + stats.queued > 0 then
    t:complain("%d ops, %d exchanges were left behind", stats.calls, stats.running + stats.queued)
  end
  core.engine():close()
  collectgarbage()
  local left = descriptors() - before
  if left ~= 0 then t:complain("%d descriptors were left behind", left) end
  if #t.service:jobs() > t.jobs + 1 then t:complain("a job was made twice") end
  t:check_film()
  return t, asked, refused
end

-- Cells ------------------------------------------------------------------------------------------

local function indexes(kind, asked)
  if wanted.index then return { tonumber(wanted.index) } end
  local list = {}
  local first = math.max(most, CRUCIAL[kind] or 0)
  local step = math.max(1, math.ceil((asked - first) / most))
  for i = 1, asked do
    if i <= first or i % step == 0 then list[#list + 1] = i end
  end
  return list
end

--- The core does not load into a program with a libcurl that it cannot use, and says so.
local function check_loading()
  local load = package.loadlib(modules .. "/akool/lipsync/core.so", "luaopen_akool_lipsync_core")
  local function is_refused(words)
    local fine, why = pcall(load)
    assert(not fine and why:find(words, 1, true), why)
  end
  refusals.pretend(0x074900)
  is_refused "needs libcurl 7.74 or later"
  refusals.pretend(0)
  refusals.arm("libcurl", "once", 1)
  is_refused "libcurl cannot be initialised"
  refusals.disarm()
end

--- All refusals of one kind and mode in one scenario. Returns how many were tried, how many of these
--- the scenario overcame, and whether all was as it should be.
local function cell(common, scenario, kind, mode)
  local calm, asked = try(common, scenario, kind, mode, 0)
  assert(#calm.complaints == 0 and calm.failures == common.calm_failures[scenario.name],
    scenario.name .. " fails even if nothing is refused: " .. (calm.complaints[1] or ""))
  local tried, overcome, wrong = 0, 0, 0
  for _, index in ipairs(indexes(kind, asked)) do
    local label = ("--only '%s' --kind %s --mode %s --index %d"):format(scenario.name, kind, mode,
      index)
    common.say(label)
    local t, _, refused = try(common, scenario, kind, mode, index)
    if refused then tried = tried + 1 end
    if refused and t.failures == calm.failures then overcome = overcome + 1 end
    if #t.complaints > 0 then
      wrong = wrong + 1
      if wrong <= COMPLAINTS then
        print(("  %s (%s): %s"):format(label, refused, table.concat(t.complaints, "; ")))
      end
      if most == BRIEF then break end
    end
  end
  return tried, overcome, wrong
end

local function main()
  local common = { wait_until_readable = wait_until_readable }
  for name, value in pairs(CREDENTIALS) do common[name] = value end
  common.service = assert(mock.start { api_key = common.api_key, client_id = common.client_id,
    client_secret = common.client_secret, manual_clock = false, queue = 0, process = 0,
    credits = 1e9, files = "examples/media" })
  common.video = common.service.url .. "/files/clip.mp4"
  common.audio = common.service.url .. "/files/voice.wav"
  common.folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/refusals-XXXXXX"))
  common.out = common.folder .. "/out.mp4"
  local film = assert(io.open("examples/media/clip.mp4", "rb"))
  common.film = film:read("*a")
  film:close()

  -- If the process dies, this file says where.
  local label = assert(io.open(modules .. "/last-trial", "w"))
  label:setvbuf("no")
  function common.say(text)
    label:seek("set", 0)
    label:write(text, (" "):rep(80 - #text), "\n")
  end

  check_loading()
  common.calm_failures = {}
  local fine, total = true, 0
  print(ROW:format("scenario", "refused", "mode", "indexes", "overcome", "result"))
  for _, scenario in ipairs(scenarios) do
    if not wanted.only or wanted.only == scenario.name then
      common.calm_failures[scenario.name] = try(common, scenario, "nothing", "once", 0).failures
      for _, column in ipairs(COLUMNS) do
        for _, mode in ipairs(column.modes) do
          if (not wanted.kind or wanted.kind == column.kind)
            and (not wanted.mode or wanted.mode == mode) then
            local tried, overcome, wrong = cell(common, scenario, column.kind, mode)
            if tried > 0 or wrong > 0 then
              print(ROW:format(scenario.name, column.kind, mode, tried, overcome,
                wrong == 0 and "ok" or wrong .. " WRONG"))
            end
            fine, total = fine and wrong == 0, total + tried
            if not fine and most == BRIEF then os.exit(1) end
          end
        end
      end
    end
  end
  clean(common.folder)
  uv.fs_rmdir(common.folder)
  common.service:stop()
  if total == 0 then
    fine = false
    print("Nothing was refused: is there such a scenario?")
  end
  print(("%d refusals: %s"):format(total, fine and "all borne" or "NOT all borne"))
  os.exit(fine, true)
end

main()
