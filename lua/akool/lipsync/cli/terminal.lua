-- terminal: the one that standard error may be. Is it one, how large is it now, and lines at its bottom
-- that are drawn anew in their place while others pass above them.

local text = require "akool.lipsync.cli.text"

local UP, ERASE_LINE, ERASE_BELOW = "\27[%dA", "\27[K", "\27[J"
local COLUMNS, ROWS = 80, 24 -- of a terminal that does not say

local terminal = {}

--- luv knows terminals. Without it there are lines, as in a file.
local function luv()
  local found, uv = pcall(require, "akool.lipsync.uv")
  return found and uv or nil
end

---@class akool.lipsync.cli.Terminal
---@field colours boolean
---@field package tty userdata?   # asked for the size
---@field package drawn string[]  # lines at the bottom, without colours, as they were drawn last
---@field package painted string[] # the same with them
local Terminal = {}
Terminal.__index = Terminal

--- A descriptor of ours for the terminal: libuv makes what it is given nonblocking, which standard error
--- should not be.
local function own_tty(uv)
  local flags = uv.constants.O_RDONLY + uv.constants.O_NOCTTY
  local fd = uv.fs_open("/proc/self/fd/2", flags, 0)
  if not fd then return nil end
  local made, tty = pcall(uv.new_tty, fd, true)
  return made and tty or nil
end

--- The terminal that standard error is, or nil where it is none that can be drawn on.
---@return akool.lipsync.cli.Terminal?
function terminal.open()
  local uv, kind = luv(), os.getenv "TERM" or ""
  if not uv or uv.guess_handle(2) ~= "tty" or kind == "" or kind == "dumb" then return nil end
  return setmetatable({ colours = (os.getenv "NO_COLOR" or "") == "", tty = own_tty(uv),
    drawn = {}, painted = {} }, Terminal)
end

--- How large it is at this moment.
---@return integer columns
---@return integer rows
function Terminal:size()
  local columns, rows
  if self.tty then columns, rows = self.tty:get_winsize() end
  if not columns or columns < 1 then columns = tonumber(os.getenv "COLUMNS") or COLUMNS end
  if not rows or rows < 1 then rows = tonumber(os.getenv "LINES") or ROWS end
  return columns, rows
end

--- To the beginning of what was drawn. When the terminal has become narrower meanwhile, its lines take
--- more than one row each.
local function back(self, columns)
  local rows = 0
  for _, line in ipairs(self.drawn) do
    rows = rows + math.max(1, math.ceil(text.width(line) / columns))
  end
  return "\r" .. (rows > 1 and UP:format(rows - 1) or "")
end

--- The lines at the bottom, each over what was there before.
local function bottom(painted)
  local out = {}
  for i, line in ipairs(painted) do
    out[i] = line .. (i < #painted and ERASE_LINE .. "\n" or "")
  end
  return table.concat(out) .. ERASE_BELOW
end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

--- Draw lines at the bottom, in the place of those before them, in one write. None may be as long as
--- the terminal is wide.
---@param plain string[]    # as wide as they will look
---@param painted string[]  # with colours
function Terminal:draw(plain, painted)
  local columns = self:size()
  if columns == self.columns and same(painted, self.painted) then return end
  local buffer = back(self, columns) .. bottom(painted)
  self.drawn, self.painted, self.columns = plain, painted, columns
  io.stderr:write(buffer)
  io.stderr:flush()
end

--- Print lines above those at the bottom.
---@param lines string  # each with its end
function Terminal:above(lines)
  local columns = self:size()
  local passing = lines:gsub("\n", ERASE_LINE .. "\n")
  io.stderr:write(back(self, columns), passing, bottom(self.painted))
  io.stderr:flush()
end

--- Take away what was drawn.
function Terminal:clear()
  self:draw({}, {})
end

return terminal
