-- What luacheck accepts: any of the Lua versions we run on, lines of 100 columns, no stray globals.
std = "max"
max_line_length = 100
max_comment_line_length = 130 -- an annotation cannot be broken
exclude_files = { "build", "build.luarocks", "types" }
files["spec"] = { std = "+busted" }
