-- neovim: its loop is libuv's and watches the engine. What a task does may touch the editor, which
-- nothing may in a callback of libuv's, so each step is scheduled. The editor never waits.

local vim = vim -- luacheck: ignore 113 (Neovim's only global)
if not vim then error("this is not Neovim", 0) end
local uv = vim.uv or vim.loop

local poll, watched -- one handle for all: libuv has no second for a descriptor
local step_now      -- while somebody waits

local function readable()
  poll:stop() -- or it calls again and again until the editor finds time for us
  vim.schedule(function()
    if not step_now then return end
    poll:start("r", readable)
    step_now()
  end)
end

---@type akool.lipsync.Host
return {
  name = "neovim",

  watch = function(engine, step)
    if engine ~= watched then
      poll, watched = uv.new_poll(engine:pollfd()), engine
    end
    step_now = step
    poll:start("r", readable)
    return function(closing)
      step_now = nil
      poll:stop()
      if not closing then return end
      poll:close() -- at once: libuv must not find the descriptor closed, or another's
      poll, watched = nil, nil
    end
  end,
}
