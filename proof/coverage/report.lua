-- report.lua COVERAGE.JSON MISSING.TXT: prints what gcovr found, file by file, then every line that is
-- missed and how many branches. Fails if a missed line has no reason in MISSING.TXT, or if too many
-- branches are missed.

local cjson = require "cjson"

local BRANCHES = 95 -- percent of all, those that nothing can take among them; about 96 are reached

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function trim(text)
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

local function lines_of(path)
  local lines = {}
  for line in (read(path) .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- The function that a line is in.
local function function_at(source, number)
  for i = number, 1, -1 do
    local name = source[i]:match("^[%a_].-([%w_]+)%(")
    if name and not source[i]:find(";%s*$") then return name end
  end
  return "?"
end

-- The reasons: a paragraph that ends in a colon, then, indented, lines that say for what: a file and a
-- function, or one line of code in it.
local reasons, reason = {}, ""
for _, line in ipairs(lines_of(arg[2])) do
  local file, name, code = line:match("^%s+(src/[%w_.]+) ([%w_]+):?(.*)$")
  if file then
    assert(reason ~= "", "no reason before: " .. line)
    reasons[#reasons + 1] = { file = file, name = name, code = trim(code),
      reason = (reason:gsub(":$", "")) }
  elseif line == "" then
    reason = ""
  elseif not line:find("^#") then
    reason = trim(reason .. " " .. line)
  end
end

local function reason_for(file, name, code)
  for _, row in ipairs(reasons) do
    if row.file == file and row.name == name and (row.code == "" or row.code == code) then
      row.used = true
      return row.reason
    end
  end
end

local function percent(part, whole)
  return whole == 0 and "-" or ("%.1f"):format(100 * part / whole)
end

local function show(...)
  print(("%-26s %7s %7s %6s   %8s %7s %6s"):format(...))
end

local all = { lines = 0, reached = 0, branches = 0, taken = 0 }
local missed, halves, bad = {}, {}, false

local function count(file)
  local source = lines_of(file.file)
  local here = { lines = 0, reached = 0, branches = 0, taken = 0 }
  for _, line in ipairs(file.lines) do
    local code, number = trim(source[line.line_number]), line.line_number
    if not line["gcovr/noncode"] then
      local untaken = 0
      here.lines = here.lines + 1
      for _, branch in ipairs(line.branches) do
        here.branches = here.branches + 1
        if branch.count > 0 then here.taken = here.taken + 1 else untaken = untaken + 1 end
      end
      if line.count > 0 then
        here.reached = here.reached + 1
        if untaken > 0 then
          halves[#halves + 1] = ("%s:%d: %d of %d: %s"):format(file.file, number, untaken,
            #line.branches, code)
        end
      else
        local name = function_at(source, number)
        missed[#missed + 1] = { file = file.file, number = number, name = name, code = code,
          reason = reason_for(file.file, name, code) }
      end
    end
  end
  for name, value in pairs(here) do all[name] = all[name] + value end
  show(file.file, here.lines, here.reached, percent(here.reached, here.lines), here.branches,
    here.taken, percent(here.taken, here.branches))
end

show("file", "lines", "reached", "%", "branches", "taken", "%")
for _, file in ipairs(cjson.decode(read(arg[1])).files) do count(file) end
show("together", all.lines, all.reached, percent(all.reached, all.lines), all.branches, all.taken,
  percent(all.taken, all.branches))

print(("\nBranches missed on lines that are reached: %d lines"):format(#halves))
for _, half in ipairs(halves) do print("  " .. half) end
if #missed > 0 then print "\nLines missed:" end
for _, line in ipairs(missed) do
  print(("  %s:%d %s: %s\n    %s"):format(line.file, line.number, line.name, line.code,
    line.reason or "NO REASON IS GIVEN"))
  bad = bad or not line.reason
end
for _, row in ipairs(reasons) do
  if not row.used then -- perhaps only on this machine, so it is no failure
    print(("  A reason is given for %s %s: %s, which is reached or gone"):format(row.file, row.name,
      row.code))
  end
end
local few = all.taken / all.branches * 100 < BRANCHES
print(("\n%s of %s lines, and the rest explained: %s; at least %d %% of branches: %s"):format(
  all.reached, all.lines, bad and "NO" or "yes", BRANCHES, few and "NO" or "yes"))
os.exit(not (bad or few))
