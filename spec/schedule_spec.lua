-- When jobs are asked about, and what is repeated: the two simulations in bench/ run on the policy of
-- this tree with the defaults of `poll`. They are pure arithmetic with a fixed seed, so what they
-- print is the same everywhere; here it is read again and held against the bars.

local options = require "akool.lipsync.options"
local shell = require "support.shell"

local SOURCES = "src/policy.c src/timers.c src/errors.c -lm"

--- Compile a simulation and run it; returns what it printed and whether it was content.
local function simulate(name, args)
  local program = os.tmpname()
  shell.must_run("%s -std=c11 -O2 -D_GNU_SOURCE -Isrc bench/%s.c %s -o %s", os.getenv "CC" or "cc",
    name, SOURCES, program)
  local pipe = io.popen(program .. " " .. args .. "; echo $?")
  local said = pipe:read "*a"
  pipe:close()
  os.remove(program)
  return said, said:match "(%d+)\n$" == "0"
end

describe("the schedule of polls", function()
  local said, content

  local function defaults()
    for _, row in ipairs(options.list) do
      if row.name == "poll" then return row.default end
    end
  end

  --- The mean of 3 s, or 8 % of the duration if that is more, over durations between two: as many
  --- between 10 and 20 s as between 10 and 20 min.
  local function allowed(least, most)
    local bend = math.min(math.max(3 / 0.08, least), most)
    return (3 * math.log(bend / least) + 0.08 * (most - bend)) / math.log(most / least)
  end

  setup(function()
    local poll = defaults()
    said, content = simulate("schedule", ("%.14g %.14g %.14g %.14g"):format(poll.first,
      poll.factor, poll.max, poll.jitter))
  end)

  it("tells of a job's end within 8 % of its duration, or 3 s, on average", function()
    local rows = 0
    for least, most, mean in said:gmatch "\n +(%d+) %- +(%d+) +[%d.]+ +([%d.]+)" do
      rows = rows + 1
      assert.is_true(tonumber(mean) <= allowed(tonumber(least), tonumber(most)),
        ("%s s on average for %s to %s s"):format(mean, least, most))
    end
    assert.equal(11, rows)
  end)

  it("takes no more than 25 requests for a job of ten minutes", function()
    assert.is_true(tonumber(said:match "ten minutes: ([%d.]+)") <= 25)
  end)

  it("never makes a second with twice the even number of requests", function()
    local rows = 0
    for even, polls in said:gmatch " %d+ +%d+ +%d+ +([%d.]+) +(%d+) +[%d.]+ +[%d.]+  met\n" do
      rows = rows + 1
      assert.is_true(polls / even <= 2)
    end
    assert.equal(8, rows)
  end)

  it("meets every bar of the simulation", function()
    assert.is_true(content, said)
    assert.is_truthy(said:find("Every bar is met.", 1, true))
    assert.is_nil(said:find("MISSED", 1, true))
  end)
end)

describe("the policy of retries, waits and turns", function()
  it("keeps every promise", function()
    local said, content = simulate("policy", "1")
    assert.is_true(content, said)
    assert.is_truthy(said:find("Every promise is kept.", 1, true))
    local load = 0
    for percent, times in said:gmatch "load when (%d+) %% of all attempts fail: ([%d.]+) times" do
      load = load + 1
      assert.is_true(tonumber(percent) <= 50 or tonumber(times) <= 1.2)
    end
    assert.equal(11, load)
  end)
end)
