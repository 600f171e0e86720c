-- nginx, with its Lua module: requests, timers and their light threads wait, each on its own, and nginx
-- serves others meanwhile. Tasks that nobody waits for go on in a timer.

local interval = require "akool.lipsync.interval"

local ngx = ngx -- luacheck: ignore 113
if not ngx then error("this is not nginx", 0) end

---@type akool.lipsync.Host
return {
  name = "nginx",

  wait = function(engine, seconds)
    if not pcall(ngx.sleep, interval(engine, seconds)) then
      return ("nginx cannot wait in its phase %q: do it in rewrite, access, content, or in a timer "
        .. "(ngx.timer.at)."):format(ngx.get_phase())
    end
  end,

  spawn = function(f)
    local allowed, made = pcall(ngx.timer.at, 0, function() f() end) -- not while nginx starts
    return allowed and made == true
  end,
}
