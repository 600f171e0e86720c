-- instants: kills at random instants, from a worker's first one on.

local audit = require "support.audit"
local kills = require "support.kills"
local postgres = require "support.postgres"
local workshop = require "support.workshop"

local ROWS = 12 -- of a batch; each takes about as many kills

local databases = {
  sqlite = function() return nil, function() end end,
  postgresql = function()
    local server = postgres.start()
    return function() return server:scratch_database() end, function() server:stop() end
  end,
}

--- A table of how often something was, in one line.
local function line(title, words, counts)
  local parts = {}
  for _, word in ipairs(words) do
    if counts[word] then parts[#parts + 1] = ("%s %d"):format(word, counts[word]) end
  end
  print(("  %-22s %s"):format(title, table.concat(parts, ", ")))
end

---@param name "sqlite"|"postgresql"
---@param asked { count: integer, seed: integer }
---@return string[] problems
return function(name, asked)
  local database, stop = databases[name]()
  local shop = workshop.new { rows = ROWS, lease = 0.1, database = database }
  local tally = kills.tally(asked.seed)
  local fine, why = pcall(function()
    repeat kills.round(shop, tally) until tally.kills >= asked.count
  end)
  shop:close()
  stop()
  if not fine then table.insert(tally.problems, tostring(why)) end
  print(("%s, --seed %d: %d kills, %d batches, %d rows"):format(name, asked.seed, tally.kills,
    tally.rounds, tally.rows))
  line("kills that left rows", audit.MOMENTS, tally.moments)
  line("rows in the end", { "done", "failed", "unknown" }, tally.states)
  io.flush()
  return tally.problems
end
