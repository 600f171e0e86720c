-- cli, terminal: what a person sees, in a real terminal: wide, narrow, and as its size changes. The
-- pictures are in spec/golden; UPDATE_GOLDEN=1 takes them anew.

local fixture = require "support.fixture"
local screens = require "support.screen"

local QUICK = { "--poll-first", "0.1", "--poll-max", "0.1" }

describe("on a terminal", function()
  local screen

  after_each(function() -- before that of the fixture, whose folder has its socket
    if screen then screen:close() end
    screen = nil
  end)

  local t = fixture.new()

  local function open(arguments, options)
    for _, word in ipairs(QUICK) do arguments[#arguments + 1] = word end
    screen = screens.open(t, arguments, options)
    return screen
  end

  local function looks_like(name, shares)
    local text = screen:golden(shares)
    assert.equal(screens.golden(name, text), text)
  end

  it("there is a line for each job and one for all, also when its width changes", function()
    local one, two, three = t.job().id, t.job().id, t.job().id
    open { "wait", one, two, three }
    screen:until_it_shows "3 running"
    looks_like "wait-80"
    t.service:advance(7)
    screen:resize(40)
    screen:until_it(function(text)
      return select(2, text:gsub("processing", "")) == 3 and not text:find("queueing", 1, true)
    end)
    looks_like "wait-40"
    screen:resize(80)
    screen:until_it_shows "ETA"
    screen:until_it_shows "[>" -- the bar, which only a wide one has
    looks_like "wait-80-again"
    t.service:advance(60)
    screen:until_it_shows "status 0"
    assert.is_nil(screen:text():find("ETA", 1, true))
    assert.truthy(screen:text():find("^" .. one .. " completed http"))
  end)

  for _, columns in ipairs { 80, 40 } do
    it(("of %d columns a download shows how far it is"):format(columns), function()
      local job = t.completed()
      t.service:set(job.id, { bytes = 5000000 })
      t.service:fail { at = "file", stall_at = 2400000 }
      open({ "download", job.id, "clip.mp4", "--stall-timeout", "60" }, { columns = columns })
      screen:until_it(function(text) return text:find "%d%%" end)
      looks_like(("download-%d"):format(columns), true)
    end)
  end

  it("there are more jobs than rows", function()
    local words = { "wait" }
    for _ = 1, 15 do words[#words + 1] = t.job().id end
    open(words)
    screen:until_it_shows "15 running"
    looks_like "wait-many"
  end)

  it("lines that pass stand above the others", function()
    local one, two = t.job().id, t.job().id
    open { "wait", one, two }
    screen:until_it_shows "2 running"
    t.service:set(two, { video_status = 4 })
    screen:until_it_shows "1 failed"
    looks_like "wait-failed"
  end)

  it("states have colours, unless nobody wants them", function()
    local id = t.job().id
    t.service:advance(7)
    open { "wait", id }
    screen:until_it_shows "processing"
    assert.truthy(screen:text(true):find("\27[33mprocessing", 1, true))
    screen:close()
    open({ "wait", id }, { environment = { NO_COLOR = "1" } })
    screen:until_it_shows "processing"
    assert.is_nil(screen:text(true):find("\27", 1, true))
  end)

  it("that is dumb there are lines, as in a file", function()
    local id = t.job().id
    open({ "wait", id }, { environment = { TERM = "dumb" } })
    screen:until_it_shows(id .. ": queueing")
    assert.is_nil(screen:text():find("0:0", 1, true))
  end)

  it("Ctrl-C leaves nothing behind but what to do", function()
    local id = t.job().id
    open({ "wait", id }, { columns = 120 })
    screen:until_it_shows "queueing"
    screen:press "C-c"
    screen:until_it_shows "status 130"
    looks_like "wait-interrupted"
  end)
end)
