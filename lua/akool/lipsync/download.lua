-- download: a job's result to a file. The bytes never pass through Lua; here is what surrounds
-- them: finding the URL, and asking for a new one, once, when the old one is refused.

local core = require "akool.lipsync.core"
local job = require "akool.lipsync.job"

local download = {}

--- The job with a URL in it, asked for if need be.
local function with_url(client, given, id, opts)
  local found = given
  if type(given) ~= "table" or given.status ~= "completed" or type(given.video) ~= "string" then
    local asked, err = client:info(id, opts)
    if not asked then return nil, err end
    found = asked
  end
  if found.status == "failed" then
    return nil, core.error("job_failed", ("Job %s failed, so it has no result."):format(id),
      { job = found })
  elseif found.status ~= "completed" then
    return nil, core.error("not_ready", ("Job %s is still %s."):format(id, found.status),
      { job = found })
  end
  return found
end

---@class akool.lipsync.File
---@field path string
---@field bytes integer
---@field sha256 string   # lower-case hex

--- See `Client:download` in client.lua. `fetch(url)` runs one download op.
---@param client akool.lipsync.Client
---@param given akool.lipsync.Job|string
---@param opts table?     # for the infos this may need
---@param fetch fun(url: string, id: string): akool.lipsync.File?, akool.lipsync.Error?
---@return akool.lipsync.File?
---@return akool.lipsync.Error?
function download.result(client, given, opts, fetch)
  local id = job.id_of(given, "download", 3)
  local found, err = with_url(client, given, id, opts)
  if not found then return nil, err end
  local file
  file, err = fetch(found.video, id)
  if file or err.kind ~= "expired" then return file, err end
  local fresh = client:info(id, opts)
  if fresh and fresh.video and fresh.video ~= found.video then
    file, err = fetch(fresh.video, id)
  end
  if not file and err.kind == "expired" and (found.expires_at or 0) > os.time() then
    err.retryable = true
    err.message = ("The result's address answered with HTTP %s, although the result should be kept "
      .. "until %s. Try again later before the job is made (and paid) again.")
      :format(tostring(err.http_status), os.date("!%Y-%m-%d %H:%M UTC", found.expires_at))
  end
  return file, err
end

return download
