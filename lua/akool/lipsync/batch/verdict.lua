-- verdict: what an error means for a batch. Pure; the errors are those of src/errors.def.

local verdict = {}

-- The account cannot buy anything; what was bought goes on.
local CANNOT_PAY = { quota = true, account = true, permission = true }

-- Nothing this program asks can succeed.
local HOPELESS = { auth = true, tls = true }

--- Is there any use in going on at all?
local function hopeless(err)
  return HOPELESS[err.kind] or err.code == 1200 or err.name == "no_credentials"
    or err.name == "out_of_memory" or err.name == "no_engine"
end

---@alias akool.lipsync.batch.Verdict
---| "stop"    # everything: no request can succeed
---| "halt"    # submit nothing more; what was bought goes on
---| "again"   # later, unchanged
---| "unknown" # it may have been created, and paid
---| "bought"  # the service made this film before
---| "failed"  # this one, for good
---| "expired" # the result is gone
---| "leave"   # this one, for now: something on this machine has to be put right first

--- After a create.
---@param err akool.lipsync.Error
---@return akool.lipsync.batch.Verdict
function verdict.of_create(err)
  if err.maybe_created then return "unknown" end
  if hopeless(err) then return "stop" end
  if CANNOT_PAY[err.kind] then return "halt" end
  if err.code == 1202 then return "bought" end
  if err.retryable or err.kind == "cancelled" then return "again" end
  return "failed"
end

--- After following a job, which could not go on. That is no verdict about the job: one that cannot be
--- asked about is paid all the same.
---@param err akool.lipsync.Error
---@return akool.lipsync.batch.Verdict
function verdict.of_following(err)
  if hopeless(err) then return "stop" end
  if err.retryable or err.kind == "timeout" then return "again" end
  return "leave"
end

--- After a download.
---@param err akool.lipsync.Error
---@return akool.lipsync.batch.Verdict
function verdict.of_download(err)
  if err.kind == "failed" then return "failed" end
  if err.kind == "expired" and not err.retryable then return "expired" end
  if hopeless(err) then return "stop" end
  if err.retryable or err.kind == "timeout" or err.name == "file_busy" then return "again" end
  return "leave"
end

return verdict
