-- tally: how many rows of a ledger are in which state, and what that asks of a person.

local exit = require "akool.lipsync.cli.exit"

local tally = {}

local STATES = { "planned", "submitting", "submitted", "processing", "ready", "done", "failed",
  "unknown", "expired", "cancelled" }
local LEFT = { "planned", "submitting", "submitted", "processing", "ready" }

--- Only the numbers, as a document has them.
---@param counts table
---@return table
function tally.numbers(counts)
  local numbers = { total = counts.total }
  for _, state in ipairs(STATES) do numbers[state] = counts[state] or 0 end
  return numbers
end

--- "12 of 40 done, 1 failed, 27 planned"
---@param counts table
---@return string
function tally.line(counts)
  local parts = { ("%.0f of %.0f done"):format(counts.done or 0, counts.total) }
  for _, state in ipairs(STATES) do
    local count = counts[state] or 0
    if state ~= "done" and count > 0 then parts[#parts + 1] = ("%.0f %s"):format(count, state) end
  end
  return table.concat(parts, ", ")
end

--- How many are not over.
---@param counts table
---@return integer
function tally.left(counts)
  local left = 0
  for _, state in ipairs(LEFT) do left = left + (counts[state] or 0) end
  return left
end

--- The status that a run ends with.
---@param summary table  # of batch:run
---@return integer
function tally.exit(summary)
  if summary.interrupted then return exit.INTERRUPTED end
  local status = exit.DONE
  if summary.stopped then status = exit.graver(status, exit.of(summary.stopped)) end
  if (summary.unknown or 0) > 0 then status = exit.graver(status, exit.UNKNOWN) end
  if (summary.failed or 0) + (summary.expired or 0) > 0 then
    status = exit.graver(status, exit.REFUSED)
  end
  if tally.left(summary) > 0 then status = exit.graver(status, exit.RUNNING) end
  return status
end

--- Say what can be done about rows that went wrong.
---@param out akool.lipsync.cli.Output
---@param counts table
---@param ledger string  # as it was given, for a shell
function tally.advise(out, counts, ledger)
  if (counts.unknown or 0) > 0 then
    out:note("Unknown: the answer to a create was lost, so a job may exist and be paid. Look "
      .. "into the account; then say")
    out:note("  akool-lipsync batch adopt %s KEY JOB_ID   if there is one", ledger)
    out:note("  akool-lipsync batch resubmit %s KEY       if not; if there is, it is paid twice",
      ledger)
  end
  if (counts.failed or 0) + (counts.expired or 0) > 0 then
    out:note("To make what failed or expired again, and pay again: akool-lipsync batch retry %s "
      .. "KEY (or --all)", ledger)
  end
end

return tally
