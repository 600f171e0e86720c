-- What luacheck accepts: any of the Lua versions we run on, lines of 100 columns, no stray globals.
std = "max"
max_line_length = 100
exclude_files = { "build", "build.luarocks", "types" }
files["spec"] = { std = "+busted" }
