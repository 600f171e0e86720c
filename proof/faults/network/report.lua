--- What a proof prints: a table with a line for every scenario, what was wrong, and a verdict.

---@class proof.report
---@field full boolean the long version was asked for
local report = {}
report.__index = report

local COMPLAINTS = 5 -- shown of one scenario

---@param full boolean
---@return proof.report
function report.new(full)
  return setmetatable({ full = full, words = {}, wrong = {}, failed = 0, cases = 0, rows = 0,
    absent = 0 }, report)
end

--- Counts a case of a scenario: how it ended, and what was wrong with that, if anything.
---@param name string
---@param index integer
---@param word string
---@param wrong? string
function report:count(name, index, word, wrong)
  local words = self.words[name] or {}
  self.words[name], self.cases = words, self.cases + 1
  words[word] = (words[word] or 0) + 1
  if wrong then
    self.wrong[name] = self.wrong[name] or {}
    table.insert(self.wrong[name], { index = index, text = wrong })
    self.failed = self.failed + 1
  end
end

local function line(name, indexes, result)
  io.write(("%-46s %-15s %s\n"):format(name, indexes, result))
  io.flush()
end

---@param seed integer
function report.head(seed)
  io.write(("seed %d\n\n"):format(seed))
  line("scenario", "cases", "how they ended")
end

--- Prints the line of a scenario.
---@param name string
---@param indexes string
function report:row(name, indexes)
  local words, parts = self.words[name] or {}, {}
  for word, count in pairs(words) do parts[#parts + 1] = ("%d %s"):format(count, word) end
  table.sort(parts)
  local wrong = self.wrong[name] or {}
  self.rows = self.rows + 1
  line(name, indexes, (#wrong > 0 and ("%d WRONG: "):format(#wrong) or "")
    .. table.concat(parts, ", "))
  for i = 1, math.min(#wrong, COMPLAINTS) do
    io.write(("    %d: %s\n    ./dev faults network --only '%s' --index %d\n"):format(
      wrong[i].index, wrong[i].text, name, wrong[i].index))
  end
end

--- Prints the line of a scenario that this machine cannot play, which is not a success.
---@param name string
---@param why string
function report:not_run(name, why)
  self.absent = self.absent + 1
  line(name, "-", "NOT RUN: " .. why)
end

--- Prints the verdict; returns the exit code.
---@return integer
function report:verdict()
  local missing = self.absent > 0
    and ("; %d scenarios could not be played here and prove nothing"):format(self.absent) or ""
  if self.failed == 0 and self.cases > 0 then
    io.write(("\nNetwork faults: all %d cases of %d scenarios ended as they should%s.\n")
      :format(self.cases, self.rows, missing))
    return 0
  end
  io.write(("\nNetwork faults: %d of %d cases ended WRONG%s.\n"):format(self.failed, self.cases,
    missing))
  return 1
end

return report
