-- record: one film in a ledger, between the columns of the database and what programs see.

local compat = require "akool.lipsync.compat"

local record = {}

---@alias akool.lipsync.State
---| "planned"    # not sent
---| "submitting" # a create is under way
---| "submitted"  # the service has it, and we have its id
---| "processing"
---| "ready"      # the result is at the service
---| "done"       # the film is on disk
---| "failed"
---| "unknown"    # a create whose answer was lost: the job may exist, and be paid
---| "expired"    # the result was not fetched in time
---| "cancelled"  # before it was sent

---@class akool.lipsync.Row
---@field key string
---@field state akool.lipsync.State
---@field video_url string
---@field audio_url string
---@field webhook_url string?
---@field output string        # where the film goes, relative to the batch's output_dir
---@field fingerprint string   # the same for rows that ask for the same film
---@field forced boolean       # to be paid even if the same film was bought before
---@field attempts integer     # creates that were sent for it
---@field job_id string?
---@field adopted boolean      # its job was not made for it
---@field video string?        # URL of the result
---@field credits number?
---@field duration number?     # s
---@field created_at integer?  # Unix seconds, of the job
---@field expires_at integer?  # Unix seconds, of the result
---@field gone boolean         # the result can be had no more: no other row gets this job
---@field saving boolean       # what stands at its output is its own
---@field path string?         # of the film, once done
---@field bytes integer?
---@field sha256 string?       # lower-case hex
---@field error { kind: string, name: string, code: integer?, message: string }?
---@field added_at number      # Unix seconds
---@field updated_at number
---@field worker string?       # who has it
---@field held_until number?   # Unix seconds: the end of that worker's lease

-- Reading ---------------------------------------------------------------------------------------

--- A row of the database as programs see it.
---@param found table
---@return akool.lipsync.Row
function record.shown(found)
  for _, name in ipairs { "forced", "adopted", "gone", "saving" } do
    found[name] = found[name] == 1
  end
  if found.error_kind then
    found.error = { kind = found.error_kind, name = found.error_name, code = found.error_code,
      message = found.error_message }
  end
  found.error_kind, found.error_name, found.error_code, found.error_message = nil, nil, nil, nil
  found.position = nil
  return found
end

--- The same for all of them.
---@param rows table[]?
---@param err akool.lipsync.Error?
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function record.all_shown(rows, err)
  for i, found in ipairs(rows or {}) do rows[i] = record.shown(found) end
  return rows, err
end

-- Writing ---------------------------------------------------------------------------------------

local NONE = {}
record.NONE = NONE -- NULL, where a table lists columns

--- Columns that say why.
---@param err akool.lipsync.Error
---@param columns table
---@return table columns
function record.because(err, columns)
  columns.error_kind, columns.error_name = err.kind, err.name
  columns.error_code, columns.error_message = err.code or NONE, err.message
  return columns
end

--- Columns without an error.
---@param columns table
---@return table columns
function record.without_error(columns)
  columns.error_kind, columns.error_name = NONE, NONE
  columns.error_code, columns.error_message = NONE, NONE
  return columns
end

--- Columns with what the service says of a job.
---@param job akool.lipsync.Job
---@param columns table
---@return table columns
function record.told_by(job, columns)
  columns.job_id, columns.video, columns.gone = job.id, job.video or NONE, 0
  columns.created_at, columns.expires_at = job.created_at or NONE, job.expires_at or NONE
  columns.credits, columns.duration = job.credits or NONE, job.duration or NONE
  return record.without_error(columns)
end

--- Change the columns of a row that meets a condition. Whether it did.
---@param ledger akool.lipsync.Ledger
---@param key string
---@param columns table
---@param condition string  # SQL
---@param ... any           # its parameters
---@return boolean? changed
---@return akool.lipsync.Error?
function record.set(ledger, key, columns, condition, ...)
  local names, values, n = {}, {}, 0
  for name in pairs(columns) do names[#names + 1] = name end
  table.sort(names) -- so that there is one statement, which the database knows already
  for i, name in ipairs(names) do
    n = i
    if columns[name] ~= NONE then values[i] = columns[name] end
    names[i] = name .. " = ?"
  end
  for i = 1, select("#", ...) do values[n + 1 + i] = (select(i, ...)) end
  values[n + 1] = key
  local statement = ledger.text.set:format(table.concat(names, ", "), condition)
  local changed, err = ledger.db:change(statement,
    compat.unpack(values, 1, n + 1 + select("#", ...)))
  if not changed then return nil, err end
  return changed > 0
end

return record
