-- run.lua BUILD [--full] [--seed N] [--count N] [--only FILE[:LINE]] [--by SPEC]: makes the mutants of
-- the core and lets the specs at them. BUILD/plain is a build without optimisation, in which every condition is
-- one jump; BUILD/reach says which lines each spec reaches. A mutant is noticed when a spec or the
-- refusals fail twice on it, and do not on a sound module. See scripts/mutants.sh.

local cjson = require "cjson"
local uv = require "luv"

local COUNT = 60    -- of a sample
local WANTED = 90   -- percent that have to be noticed
local WORKERS = 4   -- mutants at a time: specs wait more than they compute
local PATIENCE = 30 -- seconds that a spec may take beyond three times its usual ones

-- Sources that a spec compiles by itself, whatever it reaches in the module.
local COMPILED = {
  schedule_spec = { ["src/policy.c"] = true, ["src/timers.c"] = true, ["src/errors.c"] = true },
}

local build = table.remove(arg, 1)
local count, seed, only, by_whom = COUNT, os.time(), nil, nil
do
  local i = 1
  while arg[i] do
    if arg[i] == "--full" then
      count, i = math.huge, i + 1
    elseif arg[i] == "--seed" then
      seed, i = assert(math.tointeger(arg[i + 1]), "--seed takes a number"), i + 2
    elseif arg[i] == "--count" then
      count, i = assert(math.tointeger(arg[i + 1]), "--count takes a number"), i + 2
    elseif arg[i] == "--only" then
      only, count, i = assert(arg[i + 1], "--only takes a file"), math.huge, i + 2
    elseif arg[i] == "--by" then
      by_whom, i = assert(arg[i + 1], "--by takes a name"), i + 2
    else
      error("what is " .. arg[i] .. "?", 0)
    end
  end
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

local function must(command)
  assert(os.execute(command), command .. " failed")
end

-- Mutants ----------------------------------------------------------------------------------------

-- The assembly of each source, and its conditional jumps: those of the source, and none with which the
-- compiler protects its stack.
local function jumps_of(command, source)
  local assembly = ("%s/%s.s"):format(build, source:match("([^/]+)%.c$"))
  must(command:gsub(" %-o %S+ %-c ", (" -fno-stack-protector -S -o %s "):format(assembly)))
  local lines, jumps, files, at = {}, {}, {}, nil
  for line in io.lines(assembly) do
    lines[#lines + 1] = line
    local number, name = line:match('^%s*%.file%s+(%d+)%s+(".*)$')
    if number then files[number] = name:match('src/[%w_]+%.[ch]"') end
    local file, where = line:match("^%s*%.loc%s+(%d+)%s+(%d+)")
    if file then at = files[file] and { files[file]:sub(1, -2), tonumber(where) } end
    local jump = line:match("^%s+(j%l+)%s+%.L%d+$")
    if jump and jump ~= "jmp" and at then
      jumps[#jumps + 1] = { index = #lines, file = at[1], line = at[2] }
    end
  end
  return lines, jumps
end

local sources, mutants = {}, {}
for _, entry in ipairs(cjson.decode(read(build .. "/plain/compile_commands.json"))) do
  local source = entry.file:match("src/[%w_]+%.c$")
  if source and entry.command:find("akool_lipsync_core.dir", 1, true) then
    local lines, jumps = jumps_of(entry.command, source)
    sources[source] = lines
    local on_line = {}
    for _, jump in ipairs(jumps) do
      local where = ("%s:%d"):format(jump.file, jump.line)
      on_line[where] = (on_line[where] or 0) + 1
      for _, way in ipairs { "always", "never" } do
        if not only or only == jump.file or only == where then
          mutants[#mutants + 1] = { source = source, index = jump.index, file = jump.file,
            line = jump.line, where = where, way = way,
            change = ("jump %d %s"):format(on_line[where], way) }
        end
      end
    end
  end
end
assert(#mutants > 0, "there is no jump there")

-- Reasons for survivors: a line "REASON:", then, indented, lines "file, jump N always|never: code"
-- that it is for, the Nth jump of that line.
local reasons, reason = {}, nil
for line in io.lines("proof/mutants/survivors.txt") do
  local what = line:match("^%s+(src/.+)$")
  if what then
    reasons[what] = { text = reason, used = false }
  elseif line:find("^[^%s#]") then
    reason = line:gsub(":$", "")
  end
end

local code = {} -- the lines of each file

for _, mutant in ipairs(mutants) do
  if not code[mutant.file] then
    local lines = {}
    for line in io.lines(mutant.file) do lines[#lines + 1] = line:match("^%s*(.*)$") end
    code[mutant.file] = lines
  end
  mutant.code = code[mutant.file][mutant.line]
  local known = reasons[("%s, %s: %s"):format(mutant.file, mutant.change, mutant.code)]
  if known then mutant.reason, known.used = known.text, true end
end
for what, known in pairs(reasons) do
  if not (known.used or only) then
    print(("A reason is given for %s\n  which is gone"):format(what))
  end
end

-- A sample: the first `count` of a shuffle that the seed decides.
local whole = #mutants
if count < whole then
  math.randomseed(seed)
  for i = 1, count do
    local j = math.random(i, whole)
    mutants[i], mutants[j] = mutants[j], mutants[i]
  end
  for i = whole, count + 1, -1 do mutants[i] = nil end
end

-- Who may notice ---------------------------------------------------------------------------------

local watchers = {}
for name, seconds in read(build .. "/reach/seconds"):gmatch("(%S+) (%d+)\n") do
  local lines, breadth = {}, {} -- how many lines of each file
  local compiled = COMPILED[name] or {}
  for _, file in ipairs(cjson.decode(read(("%s/reach/%s.json"):format(build, name))).files) do
    for _, line in ipairs(file.lines) do
      if line.count > 0 or compiled[file.file] then
        lines[("%s:%d"):format(file.file, line.line_number)] = true
        breadth[file.file] = (breadth[file.file] or 0) + 1
      end
    end
  end
  if name == (by_whom or name) then
    watchers[#watchers + 1] = { name = name, seconds = tonumber(seconds), lines = lines,
      breadth = breadth, noticed = {} }
  end
end
table.sort(watchers, function(a, b) return a.name < b.name end)

-- Trying them ------------------------------------------------------------------------------------

-- Run a command in a worker's coroutine; true if it succeeded.
local function succeeds(log, command, ...)
  local me, output = coroutine.running(), assert(uv.fs_open(log, "w", tonumber("644", 8)))
  assert(uv.spawn(command, { args = { ... }, stdio = { nil, output, output } },
    function(status, signal) assert(coroutine.resume(me, status == 0 and signal == 0)) end))
  uv.fs_close(output)
  return coroutine.yield()
end

-- The command that links a target, with the mutant's object in the place of the sound one.
local function link_command(target, source, object, out)
  local folder = target == "refusals" and "/plain/proof/refusals" or "/plain"
  local link = read(("%s%s/CMakeFiles/%s.dir/link.txt"):format(build, folder, target))
  local name = source:match("[^/]+$"):gsub("%p", "%%%0")
  local replaced
  link, replaced = link:gsub("%S*/" .. name .. "%.o", object)
  assert(replaced == 1, "the object of " .. source .. " is not linked once")
  link = link:gsub("%-o %S+", "-o " .. out)
  return ("cd %s%s && %s"):format(build, folder, link)
end

-- Make the module of a mutant, or with no `way` a sound one, in the worker's folder.
local function make(dir, mutant)
  local lines = table.move(sources[mutant.source], 1, #sources[mutant.source], 1, {})
  if mutant.way then
    local target = lines[mutant.index]:match("(%.L%d+)$")
    lines[mutant.index] = mutant.way == "always" and "\tjmp\t" .. target or "\tnop"
  end
  write(dir .. "/mutant.s", table.concat(lines, "\n") .. "\n")
  write(dir .. "/source", mutant.source)
  local log, object = dir .. "/log", dir .. "/mutant.o"
  assert(succeeds(log, "gcc", "-c", "-o", object, dir .. "/mutant.s"), "it does not assemble")
  for _, to in ipairs { { "akool_lipsync_core", "/core" }, { "refusals", "/refusals" } } do
    local out = ("%s%s/akool/lipsync/core.so"):format(dir, to[2])
    assert(succeeds(log, "sh", "-c", link_command(to[1], mutant.source, object, out)),
      "it does not link")
  end
end

-- Run a watcher on what was made: "passes", "fails", or "hangs" if its time was over.
local function outcome(watcher, dir)
  local limit = 3 * watcher.seconds + PATIENCE
  local command
  if watcher.name == "refusals" then
    command = { "proof/refusals/run", dir .. "/refusals", "--brief" }
  else
    local folder, spec = dir:sub(#uv.cwd() + 2) .. "/core", ("spec/%s.lua"):format(watcher.name)
    command = { "scripts/run-spec.sh", "--brief", folder, spec, "lua5.4" }
  end
  local began = uv.hrtime()
  local passes = succeeds(dir .. "/log", "env", "CC=proof/mutants/cc",
    "SOURCE=" .. read(dir .. "/source"), ("MUTANT=%s/mutant.s"):format(dir), "timeout", "-k", "5",
    tostring(limit), "proof/mutants/alone", table.unpack(command))
  if passes then return "passes" end
  return (uv.hrtime() - began) / 1e9 < limit and "fails" or "hangs"
end

-- Does this watcher notice that something is wrong with what was made? Asked twice, since a busy
-- machine may trip it once. Returns how ("fails" or "hangs"), or false.
local function notices(watcher, dir)
  if outcome(watcher, dir) == "passes" then return false end
  local again = outcome(watcher, dir)
  if again ~= "passes" then return again end
  print(("     %s stumbled once, which does not count"):format(watcher.name))
  return false
end

-- Nobody may see something wrong where nothing is: asked when a watcher notices its first mutant, and
-- whenever one hung, since a machine may have become too busy for any.
local function trust(watcher, sound, how)
  watcher.trusted = watcher.trusted and how ~= "hangs" or not notices(watcher, sound)
  if not watcher.trusted then
    print(("%s fails on a sound module: %s/log"):format(watcher.name, sound))
    os.exit(1)
  end
end

-- Those who reach a mutant, the most promising first: who is quick, reaches much of its file, and has
-- noticed others there.
local function watchers_of(mutant)
  local list, costs = {}, {}
  if mutant.reason and not only then return list end -- known to survive, and takes the longest
  for _, watcher in ipairs(watchers) do
    if watcher.lines[mutant.where] then
      list[#list + 1] = watcher
      costs[watcher] = (1 + watcher.seconds) / watcher.breadth[mutant.file] ^ 4
        / (1 + (watcher.noticed[mutant.file] or 0))
    end
  end
  table.sort(list, function(a, b) return costs[a] < costs[b] end)
  return list
end

local next_one, left = 0, WORKERS

local function work(number)
  local dir = ("%s/%s/worker-%d"):format(uv.cwd(), build, number)
  local sound = dir .. "/sound"
  for _, folder in ipairs { dir, sound } do
    must(("mkdir -p '%s/core/akool/lipsync' '%s/refusals/akool/lipsync'"):format(folder, folder))
  end
  make(sound, { source = mutants[1].source })

  while next_one < #mutants do
    next_one = next_one + 1
    local mutant, number_of_it = mutants[next_one], next_one
    make(dir, mutant)
    for _, watcher in ipairs(watchers_of(mutant)) do
      local how = notices(watcher, dir)
      if how then
        trust(watcher, sound, how)
        mutant.killer, mutant.how = watcher.name, how
        watcher.noticed[mutant.file] = (watcher.noticed[mutant.file] or 0) + 1
        break
      end
    end
    print(("%4d/%d %-32s %-13s  %s"):format(number_of_it, #mutants, mutant.where, mutant.change,
      mutant.killer and ("%s %s"):format(mutant.killer, mutant.how) or "SURVIVED"))
  end
  left = left - 1
end

-- The verdict ------------------------------------------------------------------------------------

io.stdout:setvbuf("line")
print(("%d of %d mutants, seed %d"):format(#mutants, whole, seed))
for i = 1, WORKERS do coroutine.wrap(work)(i) end
while left > 0 do uv.run("once") end

local killed, hung, explained, by = 0, 0, 0, {}
for _, mutant in ipairs(mutants) do
  if mutant.killer then
    killed = killed + 1
    if mutant.how == "hangs" then hung = hung + 1 end
    by[mutant.killer] = (by[mutant.killer] or 0) + 1
  end
end
print "\nWho noticed:"
for _, watcher in ipairs(watchers) do
  if by[watcher.name] then print(("  %-28s %d"):format(watcher.name, by[watcher.name])) end
end
if killed < #mutants then print "\nSurvivors (repeat one with --only FILE:LINE):" end
for _, mutant in ipairs(mutants) do
  if not mutant.killer then
    if mutant.reason then explained = explained + 1 end
    print(("  %s, %s: %s\n    %s"):format(mutant.where, mutant.change, mutant.code,
      mutant.reason or "not explained"))
  end
end
local share = 100 * killed / #mutants
print(("\n%d of %d mutants were noticed, %d by hanging: %.1f %%; wanted: %d %%"):format(killed,
  #mutants, hung, share, WANTED))
print(("%d others have a reason in proof/mutants/survivors.txt; without these: %.1f %%"):format(
  explained, 100 * killed / math.max(1, #mutants - explained)))
os.exit(share >= WANTED)
