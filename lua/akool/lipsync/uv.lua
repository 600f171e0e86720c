-- uv: luv, loaded so that it stays safe. It calls back in the coroutine that loaded it, even when that is
-- gone: so that is not a task which happens to be the first to need it, but one that is kept.

local home = coroutine.create(function() return require "luv" end)
local found, uv = coroutine.resume(home)
if not found then error(uv, 0) end

package.loaded["akool.lipsync.uv.home"] = home

return uv
