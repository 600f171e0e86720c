--- preload: C of ours in front of the system's, for the child programs of specs.
---
---   child.run(code, { environment = preload "spec/support/fast_clock.c" })

local shell = require "support.shell"

--- Compiles a source of spec/support. Returns what the environment of a program must be for it to be
--- preloaded, and the path of the library, which can be removed once the program has ended.
---@param name string   # of the source, without its ending
---@param folder string # for the library
---@return table<string, string> environment
---@return string library
return function(name, folder)
  local library = ("%s/%s.so"):format(folder, name)
  shell.must_run("cc -shared -fPIC -o '%s' 'spec/support/%s.c'", library, name)
  local before = os.getenv "LD_PRELOAD" -- a sanitizer's library comes first
  return { LD_PRELOAD = (before and before .. " " or "") .. library }, library
end
