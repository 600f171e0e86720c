-- timer: for programs that watch no descriptor but can call back every few milliseconds, or once for
-- each frame. `every(step)` starts a timer and returns what stops it; without it the program calls
-- `lipsync.step()` by itself.

---@param every (fun(step: fun()): fun())?
---@return akool.lipsync.Host
return function(every)
  if every ~= nil and type(every) ~= "function" then
    error("use: for a timer a function that starts one expected, got " .. type(every), 5)
  end
  return {
    name = "timer",

    watch = function(_, step)
      local stop = every and every(step)
      return function() if stop then stop() end end
    end,
  }
end
