--- elsewhere: a small internet on this machine, for the child programs of specs; see elsewhere.c.
---
---   child.run(code, { environment = elsewhere.environment(t.folder) })

local shell = require "support.shell"

local elsewhere = {}

--- A public address, where a wire can listen.
elsewhere.public = "203.0.113.7"

--- And where that is in truth.
elsewhere.here = "127.113.0.7"

--- A name that leads to an address, given by its hexadecimal digits.
function elsewhere.name(digits)
  return ("v%d-%s.example"):format(#digits == 8 and 4 or 6, digits)
end

--- What the environment of a program must be, for it to live in that internet.
---@param folder string  # for the library that does it
---@return table<string, string>
function elsewhere.environment(folder)
  local library = folder .. "/elsewhere.so"
  shell.must_run("cc -D_GNU_SOURCE -shared -fPIC -o '%s' spec/support/elsewhere.c -ldl", library)
  local before = os.getenv "LD_PRELOAD" -- a sanitizer's library comes first
  return { LD_PRELOAD = (before and before .. " " or "") .. library }
end

return elsewhere
