-- exit: the statuses with which the program ends. This table is what `--help`, the manual and the code
-- share.

local exit = {}

---@class akool.lipsync.cli.ExitRow
---@field code integer
---@field name string
---@field meaning string

---@type akool.lipsync.cli.ExitRow[]
exit.list = {
  { code = 0, name = "DONE", meaning = "done" },
  { code = 2, name = "USAGE",
    meaning = "the command makes no sense as it was given, or there is no key" },
  { code = 3, name = "REFUSED",
    meaning = "the service refused, or a job failed, or its result has expired" },
  { code = 4, name = "RUNNING",
    meaning = "not over yet: the id, and the command that continues, are printed" },
  { code = 5, name = "UNKNOWN",
    meaning = "the answer to a create was lost: the job may exist, and be paid" },
  { code = 6, name = "NETWORK", meaning = "the network, or what answered was not the service" },
  { code = 7, name = "LOCAL", meaning = "a file of this machine, or the ledger" },
  { code = 130, name = "INTERRUPTED", meaning = "Ctrl-C or SIGTERM" },
}

for _, row in ipairs(exit.list) do exit[row.name] = row.code end

-- By the kind of an error; those that are not here are refusals.
local KINDS = { network = exit.NETWORK, timeout = exit.NETWORK, tls = exit.NETWORK,
  protocol = exit.NETWORK, io = exit.LOCAL, cancelled = exit.INTERRUPTED, usage = exit.USAGE }

-- By the name of an error, before its kind.
local NAMES = { wait_timeout = exit.RUNNING, not_ready = exit.RUNNING, no_credentials = exit.USAGE,
  no_such_row = exit.USAGE }

-- When several things went wrong: what has to be known first.
exit.gravity = { exit.INTERRUPTED, exit.UNKNOWN, exit.LOCAL, exit.NETWORK, exit.USAGE,
  exit.REFUSED, exit.RUNNING, exit.DONE }

--- The status that an error stands for.
---@param err akool.lipsync.Error
---@return integer
function exit.of(err)
  if err.maybe_created then return exit.UNKNOWN end
  if err.kind == "invalid" and not err.code and not NAMES[err.name] then return exit.USAGE end
  return NAMES[err.name] or KINDS[err.kind] or exit.REFUSED
end

--- The graver of two statuses.
---@param one integer
---@param other integer
---@return integer
function exit.graver(one, other)
  for _, code in ipairs(exit.gravity) do
    if code == one or code == other then return code end
  end
  return one
end

return exit
