-- world: what a scenario happens in, seen from outside: a mock service and its ledger, one job, and
-- a folder on a real disk.

local core = require "akool.lipsync.core"
local http = require "akool.lipsync.http"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local uv = require "luv"

local FILM = 60000 -- bytes of a result; it comes in several pieces
local PIECE = { bytes = 16384, every = 0.002 }

local world = {}
world.__index = world

local function read(path)
  local file = io.open(path, "rb")
  local bytes = file and file:read("a")
  if file then file:close() end
  return bytes
end

local function sha256(path)
  local pipe = assert(io.popen(("sha256sum '%s'"):format(path)))
  local line = pipe:read("a")
  pipe:close()
  return assert(line:match("^(%x+)"))
end

--- Start a service, and make a completed job whose result is self.film.
function world.new()
  local self = setmetatable({}, world)
  self.service = assert(mock.start {
    credits = 1e9, queue = 0.04, process = 0.04, files = "examples/media",
  })
  self.folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/faults-XXXXXX"))
  self.outside = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/faults-XXXXXX"))
  self.log = self.folder .. ".log"
  self.out = self.folder .. "/out.mp4"
  self.given = { url = self.service.url, key = self.service.api_key, out = self.out }
  return self
end

function world:close()
  self:empty()
  uv.fs_rmdir(self.folder)
  uv.fs_rmdir(self.outside)
  os.remove(self.log)
  self.service:stop()
end

--- Let the service do something with a client of ours, which leaves no connection behind.
local function with_client(self, f)
  local client = assert(lipsync.new { api_key = self.service.api_key, base_url = self.service.url })
  local result = assert(f(client))
  core.engine():close()
  return result
end

--- A new job, just begun.
function world:new_job()
  return with_client(self, function(client)
    return client:create {
      video_url = self.service.url .. "/files/clip.mp4",
      audio_url = self.service.url .. "/files/voice.wav",
    }
  end)
end

--- The job that is completed, the same each time.
function world:finished_job()
  if self.finished then return self.finished end
  local job = self:new_job()
  assert(self.service:set(job.id, { video_status = 3, bytes = FILM }))
  assert(self.service:fail { at = "file", drip = PIECE, times = "always" })
  self.finished = with_client(self, function(client) return client:info(job) end)
  local source, parts, at = http.pattern(FILM), {}, 0
  while at < FILM do
    parts[#parts + 1] = source.read(at, FILM - at)
    at = at + #parts[#parts]
  end
  self:expect(table.concat(parts))
  self.etag = ('"%s-%x"'):format(job.id, FILM)
  return self.finished
end

--- These are the bytes of the result.
function world:expect(film)
  self.film = film
  self:put("film", film)
  self.sha256 = sha256(self.folder .. "/film")
  self:empty()
end

-- The folder -------------------------------------------------------------------------------

function world:put(name, bytes)
  local file = assert(io.open(self.folder .. "/" .. name, "wb"))
  file:write(bytes)
  assert(file:close())
end

--- What is in the folder: name → bytes.
function world:files()
  local files, folder = {}, assert(uv.fs_scandir(self.folder))
  for name in uv.fs_scandir_next, folder do files[name] = read(self.folder .. "/" .. name) end
  return files
end

function world:empty()
  for name in pairs(self:files()) do assert(os.remove(self.folder .. "/" .. name)) end
end

local WORDS = { ["out.mp4"] = "file", ["out.mp4.part"] = "part", ["out.mp4.part.etag"] = "note" }

--- Remember what is in the folder. Two snapshots of the same `kind` differ in lengths at most.
--- `old` are the bytes that stood under the final name before.
function world:snapshot(old)
  local files, names, words = self:files(), {}, {}
  local linked = files["out.mp4"] and files["out.mp4.part"]
    and uv.fs_stat(self.out).ino == uv.fs_stat(self.out .. ".part").ino
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local bytes = files[name]
    words[i] = ("%s %s"):format(bytes == "" and "empty" or bytes == old and "old"
      or (bytes == self.film or bytes == self.etag) and "whole" or "partial", WORDS[name] or name)
  end
  local kind = #words == 0 and "nothing" or table.concat(words, ", ")
  return { files = files, linked = linked, kind = kind .. (linked and " (one file)" or "") }
end

function world:restore(snapshot)
  self:empty()
  for name, bytes in pairs(snapshot.files) do
    if not (snapshot.linked and name == "out.mp4.part") then self:put(name, bytes) end
  end
  if snapshot.linked then assert(uv.fs_link(self.out, self.out .. ".part")) end
end

-- The ledger -------------------------------------------------------------------------------

--- Wait until the service has seen the end of every connection, and so everything that was sent.
--- One round of its loop may take a question of ours before a connection that waits to be accepted.
function world:settle()
  local quiet = 0
  for _ = 1, 2000 do
    quiet = assert(self.service:connections()) == 0 and quiet + 1 or 0
    if quiet == 3 then return end
    if quiet == 0 then uv.sleep(1) end
  end
  error("the service still has connections although their program has ended")
end

--- Did all that was said about creates agree with what the service has? Nil, or what is wrong.
---@param report table
---@param id string?  # of the job that the program says it has made
function world:creates_problem(report, id)
  self:settle()
  local sent, jobs = #self.service:requests("create"), self.service:jobs()
  local made = jobs[1] and jobs[1]._id
  if sent > 1 or #jobs > 1 then
    return ("%d creates were sent, %d jobs made"):format(sent, #jobs)
  end
  if id then return id ~= made and "the service has no such job" or nil end
  local err = report.error
  if not err then return made and "a job was made and nothing said of it" or nil end
  if made and not err.maybe_created and not (err.job and err.job.id == made) then
    return "a job was made, and the error does not say so"
  end
  if err.maybe_created and err.retryable then return "maybe_created and retryable" end
end

-- Files ------------------------------------------------------------------------------------

--- Is the file whole or absent? Nil, or what is wrong. `old` are the bytes that stood there before.
function world:file_problem(old)
  local files = self:files()
  local out = files["out.mp4"]
  for name in pairs(files) do
    if not WORDS[name] then return "a stray file: " .. name end
  end
  if out and out ~= self.film and out ~= old then
    return ("out.mp4 has %d bytes and is not the result"):format(#out)
  end
  if old and not out then return "the old out.mp4 is gone" end
end

--- Does what was said of a download agree with what is on disk? Nil, or what is wrong.
function world:download_problem(report, old)
  local problem = self:file_problem(old)
  if problem or not report.value then return problem end
  local files, file = self:files(), report.value
  if files["out.mp4"] ~= self.film then return "a file was promised that is not there" end
  if file.sha256 ~= self.sha256 or file.bytes ~= #self.film or file.path ~= self.out then
    return "what was said of the file is not true"
  end
end

return world
