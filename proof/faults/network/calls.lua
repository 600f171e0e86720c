--- The calls that are made over a bad network, and for each of them what is right: nothing, or a
--- sentence about what is wrong with a success. A failure is judged by who ordered the fault.

local http = require "akool.lipsync.http"
local uv = require "luv"

local calls = {}

calls.RESULT_BYTES = 300

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:read("*a")
  file:close()
  return bytes
end

--- What the result of a job consists of.
calls.result = http.pattern(calls.RESULT_BYTES).read(0, calls.RESULT_BYTES)

local function right_job(s, job)
  if job.id ~= s.job.id then return "another job" end
  if job.status ~= "completed" or job.video ~= s.job.video then return "a job that is not so" end
end

---@class proof.call
---@field name string
---@field at string the endpoint of the service whose answer is in danger
---@field options table of the client
---@field run fun(s: proof.scene, client: table, route: proof.route, opts?: table): any, table?
---@field wrong fun(s: proof.scene, value: any): string?

---@type proof.call[]
calls.list = {
  { name = "create", at = "create",
    options = { max_retries = 1 }, -- so that a repetition is possible, and would be seen
    run = function(s, client, _, opts)
      local name, url = s:name_a_create()
      local job, err = client:create({ video_url = url, audio_url = s.audio }, opts)
      return job, err, name
    end,
    wrong = function(_, job)
      if job.status ~= "queueing" then return "a job that is not new" end
    end },
  { name = "info", at = "info", options = {},
    run = function(s, client, _, opts) return client:info(s.job.id, opts) end,
    wrong = right_job },
  { name = "poll", at = "info", options = { max_retries = 3 },
    run = function(s, client, _, opts) return client:wait(s.job.id, opts) end,
    wrong = right_job },
  { name = "token", at = "token", options = { with_pair = true },
    run = function(s, client, _, opts) return client:info(s.job.id, opts) end,
    wrong = right_job },
  { name = "download", at = "file", options = { resume = false },
    run = function(s, client, route, opts)
      local path = ("%s/%d.mp4"):format(s.folder, route.port)
      local job = { id = s.job.id, status = "completed",
        video = s:at(route, s.job.video:match("^http://[^/]+(.*)$")) }
      local file, err = client:download(job, path, opts)
      local bytes = read(path)
      os.remove(path)
      if file then return { file = file, bytes = bytes } end
      if bytes then return { absurd = true } end
      if uv.fs_stat(path .. ".part") then return { left = true } end
      return nil, err
    end,
    wrong = function(_, got)
      if got.absurd then return "it failed, and there is a file" end
      if got.left then return "it failed for good, and there is a part" end
      if got.bytes ~= calls.result then return "a file of other bytes" end
      if got.file.bytes ~= #calls.result then return "a file of another length than it says" end
    end },
}

for _, call in ipairs(calls.list) do calls[call.name] = call end

return calls
