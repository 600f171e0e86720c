-- judge: how a program ended, by what it says and by how its process ended. What it did to the
-- world is looked at in world.lua and in the scenarios.

local core = require "akool.lipsync.core"
local json = require "cjson"
local syscalls = require "system.syscalls"

local judge = {}

local KINDS = {}
for _, list in ipairs { core.codes(), core.causes() } do
  for _, entry in ipairs(list) do KINDS[entry.kind] = true end
end

local MEMORY = { brk = true, mmap = true, mremap = true }

--- What is wrong with an error that a program was given, nil if nothing is.
local function error_problem(world, err, text)
  if not KINDS[err.kind] or type(err.name) ~= "string" or type(err.retryable) ~= "boolean"
    or type(err.message) ~= "string" or not err.message:find("%.$") then
    return "an error without a type: " .. tostring(text)
  end
  if err.name == "write_failed" and err.http_status then
    return "an error of the disk shows the status of a good answer: " .. text
  end
  if text:find(world.service.api_key, 1, true) then return "the key is in an error" end
end

--- Should this fault have changed nothing that the caller sees?
local function harmless(case)
  if case.mode ~= "once" then return false end
  return syscalls.harmless[case.call] or syscalls.harmless[case.call .. " " .. case.error]
    or not case.scenario.paid and syscalls.repeated[case.call]
end

--- Does an error say where the fault lies? A poll that ran out of time says it in its message.
local function is_of_its_kind(case, err)
  local kind = syscalls.kind[case.call]
  return kind == nil or err.kind == kind or err.name == "wait_timeout"
    or case.mode == "on" and err.kind == "timeout" and syscalls.again[case.error]
end

--- What is wrong with how a program ended, nil if nothing is; and its report.
---@param world table
---@param result table  # of tracer.run
---@param case table?   # none: nothing was disturbed
---@return string? problem
---@return table? report
function judge.ending(world, result, case)
  if result.hung then return "it hung" end
  if result.signal ~= 0 then return "it died of signal " .. result.signal end
  local ok, report = pcall(json.decode, result.output)
  if not ok then return ("it ended with code %d and no report"):format(result.code) end
  if result.code ~= 0 then return "it ended with code " .. result.code end
  if report.raised then
    -- Lua itself raises when it gets no memory, and nobody can return anything then.
    local starved = case and MEMORY[case.call]
      and report.raised:find("not enough memory", 1, true)
    return not starved and "it raised: " .. report.raised or nil, report
  end
  if report.error then
    local problem = error_problem(world, report.error, report.text)
    if problem then return problem, report end
    if case and harmless(case) then
      return "this should not have mattered: " .. report.text, report
    end
    if case and not is_of_its_kind(case, report.error) then
      return ("an error that sends one to look elsewhere: %s"):format(report.text), report
    end
  elseif report.value == nil then
    return "neither a result nor an error", report
  elseif case and case.index == 1 and syscalls.decisive[case.call .. " " .. case.error] then
    return "it says that all is well, and it is not", report
  end
  if report.left and report.left ~= 0 and not (case and case.call == "close") then
    return ("%d descriptors were left open"):format(report.left), report
  end
  return nil, report
end

return judge
