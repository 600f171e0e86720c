--- Breaks the network in every way we know and looks at what a program is told, what is on disk,
--- and what the service has seen. `./dev faults network` runs it from the top of the tree.
---
---   lua5.4 proof/faults/network.lua [--full] [--only WORDS] [--index N] [--seed N]
---
--- `--only` picks the scenarios whose names begin with these words, `--index` one case of them. The
--- seed, which is told, decides how latency varies and in which order connections are released.

package.path = "proof/faults/?.lua;spec/?.lua;" .. package.path

local report = require "network.report"
local scene = require "network.scene"

local GROUPS = { "cuts", "toxics", "outages", "worlds" }
local NUMBERS = { ["--index"] = "index", ["--seed"] = "seed" }

local function read_arguments(given)
  local options, i = {}, 1
  while given[i] do
    if given[i] == "--full" then
      options.full = true
    elseif given[i] == "--only" and given[i + 1] then
      options.only, i = given[i + 1], i + 1
    elseif NUMBERS[given[i]] and math.tointeger(given[i + 1]) then
      options[NUMBERS[given[i]]], i = math.tointeger(given[i + 1]), i + 1
    else
      io.stderr:write("usage: network.lua [--full] [--only WORDS] [--index N] [--seed N]\n")
      os.exit(2)
    end
    i = i + 1
  end
  return options
end

local options = read_arguments(arg)
local seed = options.seed or os.time()
math.randomseed(seed)
local result, current = report.new(options.full or false), nil
local s = scene.new()
local fine, why = pcall(s.run, s, function()
  report.head(seed)
  for _, group in ipairs(GROUPS) do
    for _, row in ipairs(require("network." .. group).rows()) do
      if not options.only or row.name:sub(1, #options.only) == options.only then
        current = row.name
        row.run(s, result, options.index)
      end
    end
  end
end)
s:stop()
if not fine then
  io.write(("\nNetwork faults: it ended early: %s.\n  ./dev faults network --only '%s'\n")
    :format(tostring(why), current or ""))
  os.exit(1)
end
os.exit(result:verdict())
