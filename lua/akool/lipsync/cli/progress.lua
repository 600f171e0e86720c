-- progress: how jobs go, for people. On a terminal one line for each job that runs and a last one for
-- all of them; elsewhere a line whenever something changes.

local core = require "akool.lipsync.core"
local loop = require "akool.lipsync.loop"
local terminal = require "akool.lipsync.cli.terminal"
local text = require "akool.lipsync.cli.text"

local TICK = 0.2        -- seconds between two looks at the size and the clock
local STATE_COLUMNS = 11 -- "downloading"
local BAR_COLUMNS = 20
local WIDE = 60         -- from so many columns on there are bars

local COLOURS = { downloading = "36", ready = "36", processing = "33", done = "32",
  completed = "32", failed = "31", unknown = "31", expired = "31" }

local progress = {}

---@class akool.lipsync.cli.Progress
---@field package out akool.lipsync.cli.Output
---@field package terminal akool.lipsync.cli.Terminal?
---@field package lines table[]  # of the jobs that run, in the order in which they began
---@field package by_key table<string, table>
---@field package total integer? # of all jobs; nil: there is one, and no last line
---@field package done integer
---@field package failed integer
---@field package began number
---@field package finished integer # while we looked on
---@field package ready_at number? # when all may be done
local Progress = {}
Progress.__index = Progress

--- Begin to show.
---@param out akool.lipsync.cli.Output
---@param total integer?  # how many jobs, if a last line should tell of all of them
---@return akool.lipsync.cli.Progress
function progress.start(out, total)
  local self = setmetatable({ out = out, lines = {}, by_key = {}, total = total, done = 0,
    failed = 0, finished = 0, began = core.now() }, Progress)
  if not out.quiet then self.terminal = terminal.open() end
  if self.terminal then
    out.display = self.terminal
    self.ticker = loop.spawn(function()
      repeat self:draw() until not loop.sleep(TICK)
    end)
  end
  return self
end

--- Show nothing any more.
function Progress:stop()
  if not self.terminal then return end
  self.ticker:cancel()
  self.terminal:clear()
  self.out.display, self.terminal = nil, nil
end

-- What happens ------------------------------------------------------------------------------------

--- A job is in a state that is not its last.
---@param key string
---@param state string
function Progress:state(key, state)
  local line = self.by_key[key]
  if not line then
    line = { key = text.clean(key), began = core.now() }
    self.by_key[key], self.lines[#self.lines + 1] = line, line
  end
  if line.state == state then return end
  line.state, line.bytes, line.size = state, nil, nil
  if not self.terminal then self.out:note("%s: %s", key, state) end
end

--- So much of its result is here.
---@param key string
---@param bytes number
---@param size number?
function Progress:bytes(key, bytes, size)
  local line = self.by_key[key]
  if line then line.bytes, line.size = bytes, size end
end

--- It runs no more; `state` is how it ended, nil when it just waits.
---@param key string
---@param state string?
---@param detail string?
function Progress:over(key, state, detail)
  local was = self.by_key[key]
  for i, line in ipairs(self.lines) do
    if line == was then table.remove(self.lines, i) break end
  end
  self.by_key[key] = nil
  if not state then return end
  local good = state == "done" or state == "completed"
  self.finished = self.finished + 1
  if good then self.done = self.done + 1 else self.failed = self.failed + 1 end
  self:estimate()
  local told = was and was.state == state and not self.terminal
  if not (told or self.terminal and good) then
    self.out:note("%s", key .. ": " .. state .. (detail and " (" .. detail .. ")" or ""))
  end
end

--- When the rest may be done, if it goes on as it has.
function Progress:estimate()
  if not self.total then return end
  local left = self.total - self.done - self.failed
  local now = core.now()
  self.ready_at = now + (now - self.began) / self.finished * left
end

--- What was over before we began.
---@param done integer
---@param failed integer
function Progress:before(done, failed)
  self.done, self.failed = done, failed
end

-- Drawing -----------------------------------------------------------------------------------------

local function bar(share)
  local inner = BAR_COLUMNS - 2
  local full = math.floor(share * inner)
  local tip = full < inner and ">" or ""
  return "[" .. ("="):rep(full) .. tip .. (" "):rep(inner - full - #tip) .. "]"
end

--- Behind the state of a job: how much is here, or how long it has taken.
local function tail(line, wide)
  if not line.bytes then return text.clock(core.now() - line.began) end
  if not line.size or line.size <= 0 then return text.bytes(line.bytes) end
  local share = math.min(1, line.bytes / line.size)
  local percent = ("%3.0f%%"):format(math.floor(share * 100))
  if not wide then return percent end
  return ("%s %s  %s"):format(bar(share), percent, text.bytes(line.size))
end

local function paint(self, word, colour)
  if not (self.terminal.colours and colour) then return word end
  return ("\27[%sm%s\27[m"):format(colour, word)
end

--- The last line, of which what matters least goes where there is no room.
local function summary(self, columns)
  local over = self.done + self.failed
  local parts = { ("%d/%d done"):format(self.done, self.total) }
  if self.failed > 0 then parts[#parts + 1] = (", %d failed"):format(self.failed) end
  if #self.lines > 0 then parts[#parts + 1] = (", %d running"):format(#self.lines) end
  local share = self.total > 0 and over / self.total or 1
  if columns > WIDE then parts[#parts + 1] = ("  %s %3.0f%%"):format(bar(share), share * 100) end
  local left = self.ready_at and over < self.total and self.ready_at - core.now()
  parts[#parts + 1] = "  ETA " .. (left and text.clock(left) or "-")
  return text.fit(table.concat(parts), columns)
end

--- Draw how it is now.
function Progress:draw()
  if not self.terminal then return end
  local columns, rows = self.terminal:size()
  columns = columns - 1 -- a full line would wrap
  local widest = 0
  for _, line in ipairs(self.lines) do widest = math.max(widest, text.width(line.key)) end
  widest = math.min(widest, math.max(4, columns - STATE_COLUMNS - 10))
  local plain, painted = {}, {}
  local room = rows - (self.total and 3 or 2) -- a row for what is typed, one for those without room
  for i, line in ipairs(self.lines) do
    if i > room and #self.lines > room + 1 then
      plain[i] = text.fit(("(%d more)"):format(#self.lines - room), columns)
      painted[i] = plain[i]
      break
    end
    local key = text.fit(text.squeeze(line.key, widest), widest, true)
    local rest = "  " .. tail(line, columns > WIDE)
    local state = text.fit(line.state, STATE_COLUMNS, true)
    plain[i] = text.fit(key .. "  " .. state .. rest, columns)
    painted[i] = text.width(key .. "  " .. state .. rest) > columns and plain[i]
      or key .. "  " .. paint(self, state, COLOURS[line.state]) .. rest
  end
  if self.total then
    plain[#plain + 1] = summary(self, columns)
    painted[#painted + 1] = plain[#plain]
  end
  self.terminal:draw(plain, painted)
end

return progress
