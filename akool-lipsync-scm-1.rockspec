-- What LuaRocks needs to know. CMakeLists.txt lists the files and does the work.
rockspec_format = "3.0"
package = "akool-lipsync"
version = "scm-1"

source = {
  url = "git+file://.",
}

description = {
  summary = "Client for Akool's LipSync API",
  detailed = [[
    Makes lip-sync jobs, follows them to their end and brings the result safely to disk.
    Blocks, or runs in coroutines inside the event loop of its host.
  ]],
  license = "MIT",
  labels = { "http", "video", "async" },
}

supported_platforms = { "linux" }

dependencies = {
  "lua >= 5.1, < 5.5",
  "lua-cjson >= 2.1",
  "argparse >= 0.7.1",
}

build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "Release",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
    INST_BINDIR = "$(BINDIR)",
    INST_MANDIR = "$(PREFIX)/man",
  },
}

test = {
  type = "busted",
}
